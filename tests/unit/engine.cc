#include "tests/unit/engine.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>

#include "shim/base/armed.h"
#include "shim/base/load.h"
#include "shim/forking/protocol.h"
#include "shim/python/bridge.h"
#include "shim/python/entry.h"
#include "shim/python/finalizing.h"
#include "shim/reviving/callback.h"
#include "shim/threads/create.h"

// --- what is left out of the test program
// ----------------------------------------------------------------

namespace forkmend {

std::atomic<Activity> activity{Activity::active};
void load() {}

namespace python {

void install() {}
unsigned long reserved_signals() { return 0; }
bool present() { return false; }
namespace embedder {
void before() {}
void after_parent() {}
void after_child() {}
}  // namespace embedder
bool explain_wait(Judgement&) { return false; }
bool take_interruption() { return false; }
bool is_inside(const void*) { return false; }
bool is_interpreters(const void*) { return false; }
void read_frames(Frames&) {}
void write_frames(Json& json, const Frames&) { json.open('[').close(']'); }
namespace entry {
void guard(const void*, const void*, const Runtime*) {}
}  // namespace entry
namespace finalizing {
bool throws_out(const void*) { return false; }
int exiting_tid() { return sys::getpid(); }
}  // namespace finalizing

}  // namespace python
}  // namespace forkmend

// --- processes and threads
// --------------------------------------------------------------------------------

namespace unit {

void begin_engine() {
  forkmend::resolve_real_functions();
#if defined(__SANITIZE_THREAD__)
  // Resolved by version, which finds libc's past ThreadSanitizer's own: it would not see that a
  // wait gives the mutex back.
  forkmend::real_functions.pthread_cond_wait = pthread_cond_wait;
  forkmend::real_functions.pthread_cond_timedwait = pthread_cond_timedwait;
  forkmend::real_functions.pthread_cond_clockwait = pthread_cond_clockwait;
  forkmend::real_functions.pthread_cond_signal = pthread_cond_signal;
  forkmend::real_functions.pthread_cond_broadcast = pthread_cond_broadcast;
#endif
  forkmend::threads::adopt_main_thread();
  forkmend::set_busy(forkmend::Busy::unresolved, false);
}

int in_fresh_process(const std::function<void()>& body) {
  fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) {
    // It is nobody's child as far as the engine is concerned: its books begin here.
    forkmend::threads::adopt_main_thread();
    // doctest's handlers would report the failure of a process that is meant to die, and count as
    // handlers that could end a wait.
    for (int number = 1; number < 32; number++) signal(number, SIG_DFL);
    body();
    _exit(0);
  }
  return reap(pid);
}

namespace {

struct Started {
  std::function<void()> body;
  forkmend_runtime* runtime;
  sem_t* running;
};

void* run(void* argument) {
  auto* started = static_cast<Started*>(argument);
  const std::function<void()> body = std::move(started->body);
  if (started->runtime != nullptr) forkmend::reviving::adopt_thread(started->runtime);
  sem_post(started->running);  // `started` is gone from here on
  body();
  return nullptr;
}

}  // namespace

pthread_t start(std::function<void()> body, forkmend_runtime* runtime) {
  pthread_t thread;
  sem_t running;
  sem_init(&running, 0, 0);
  Started started{std::move(body), runtime, &running};
  if (forkmend::threads::create(&thread, nullptr, run, &started, here()) != 0) abort();
  while (sem_wait(&running) != 0) {
  }
  return thread;
}

void join(pthread_t thread) { pthread_join(thread, nullptr); }

pid_t fork_through_engine() {
  forkmend::forking::Fork state;
  forkmend::forking::before(state, here());
  const pid_t pid = fork();
  if (pid == 0) {
    forkmend::forking::after_child(state);
  } else {
    forkmend::forking::after_parent(state);
  }
  return pid;
}

int reap(pid_t pid) {
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  pollfd ended{fd, POLLIN, 0};
  if (poll(&ended, 1, 30'000) != 1) kill(pid, SIGKILL);
  close(fd);
  int status;
  if (waitpid(pid, &status, 0) != pid) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace unit
