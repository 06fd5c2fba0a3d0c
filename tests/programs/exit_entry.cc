// A library whose threads enter CPython when it is too late; tests/preload/exit_entry.py loads it.
//
//   unwind   a worker enters all the time, from a frame that may not be unwound, as Rust's
//   late     a worker enters once the interpreter is gone, while libc's exit handlers run
//   mutex    as late; it holds a mutex that an exit handler needs
//   futex    as late; it holds a lock of three states with its owner nowhere to be seen, as Rust's
//   join     as late; an exit handler joins it
//   asks     as late; it asks first whether there is an interpreter, is told no, and goes on
//
// The handlers print what they came to: "handled" for a handler that got what it needed.
#include <linux/futex.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "tests/programs/victim.h"

extern "C" {
int PyGILState_Ensure();
void PyGILState_Release(int);
int Py_IsInitialized();
int __cxa_atexit(void (*)(void*), void*, void*);
}

namespace {

using victim::is;

const char* mode;
std::atomic<int> entered{0};
std::mutex held;
std::atomic<int> word{0};
pthread_t worker;
std::atomic<bool> gone{false};

void futex_lock(std::atomic<int>* lock) {
  int free = 0;
  if (lock->compare_exchange_strong(free, 1)) return;
  while (lock->exchange(2) != 0) syscall(SYS_futex, lock, FUTEX_WAIT_PRIVATE, 2, nullptr);
}

// noexcept: the forced unwind ends here, with std::terminate, as in a Rust frame.
__attribute__((noinline)) void enter() noexcept {
  const int state = PyGILState_Ensure();
  entered++;
  PyGILState_Release(state);
}

// The guard's pointer to the lock lives in this frame while the thread is inside the interpreter.
struct FutexGuard {
  explicit FutexGuard(std::atomic<int>* of) : lock(of) { futex_lock(of); }
  ~FutexGuard() { lock->store(0); }
  std::atomic<int>* volatile lock;
};

void when_gone() {
  while (!gone.load()) usleep(1000);
}

void* work(void*) {
  if (is(mode, "unwind")) {
    for (;;) enter();
  }
  enter();
  when_gone();
  if (is(mode, "mutex")) {
    const std::lock_guard guard(held);
    enter();
  } else if (is(mode, "futex")) {
    const FutexGuard guard(&word);
    enter();
  } else if (is(mode, "asks")) {
    if (Py_IsInitialized()) enter();
  } else {
    enter();
  }
  return nullptr;
}

void say(const char* text) {
  if (write(1, text, strlen(text)) < 0) _exit(victim::kSetUpFailed);
}

// Runs when the interpreter is gone. The worker has all the time it needs to come to grief.
void handler(void*) {
  if (is(mode, "unwind")) return say("handled\n");
  gone = true;
  if (is(mode, "asks")) {
    pthread_join(worker, nullptr);
    return say("handled\n");
  }
  usleep(200'000);
  const long began = victim::now_ns();
  if (is(mode, "mutex")) held.lock();
  if (is(mode, "futex")) futex_lock(&word);
  if (is(mode, "join")) pthread_join(worker, nullptr);
  char line[64];
  snprintf(line, sizeof line, "handled after %ld ms\n", (victim::now_ns() - began) / 1'000'000);
  say(line);
}

}  // namespace

extern "C" int exit_entry_start(const char* name) {
  mode = strdup(name);
  __cxa_atexit(handler, nullptr, nullptr);
  if (pthread_create(&worker, nullptr, work, nullptr) != 0) return -1;
  return 0;
}

extern "C" int exit_entry_entered() { return entered.load(); }
