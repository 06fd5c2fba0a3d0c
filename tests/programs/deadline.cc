// A registered thread that never parks: fork goes on without it at the deadline, and says who it
// was.
//
//   deadline spin N            it runs and makes no call; N forks, one after the other
//   deadline holds             it sleeps, and holds a lock meanwhile: such a thread is not stopped
//   deadline prepare-lock      somebody else's prepare handler wants a lock that a registered
//                              thread gives back only after a call in which it is stopped
//   deadline prepare-stream N  somebody else's prepare handler prints to a stream that registered
//                              threads hold between calls (flockfile)
//   deadline prepare-worker    somebody else's prepare handler waits for an answer of a registered
//                              thread
//   deadline busy N            N forks while the workers do nothing but malloc and free (with
//                              jemalloc preloaded they hold locks that its prepare handler wants)
//   deadline parked N          all are parked: what a fork costs then
//   deadline computes N        as spin, and
//   deadline asleep N          it waits where nobody sees it (read); both in a thread that
//   registers
//                              nowhere: a profile is to match the program
//
// Says for each fork how long the call took, in nanoseconds: "step fork-I TIME DURATION".
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "include/forkmend/forkmend.h"
#include "tests/programs/victim.h"

namespace {

forkmend_runtime* runtime;
std::mutex mutex;
std::condition_variable cond;
std::atomic<bool> asked{false}, answered{false};

void fork_and_say(int i) {
  const long start = victim::now_ns();
  const pid_t pid = fork();
  if (pid == 0) _exit(0);
  const long took = victim::now_ns() - start;
  if (pid < 0) victim::set_up_failed("fork");
  if (const int code = victim::reap(pid)) _exit(code);
  char name[32];
  snprintf(name, sizeof name, "fork-%d", i);
  victim::step(name, took);
}

// Starts a registered thread and waits until it runs.
template <class Body>
void start(const char* name, Body body) {
  victim::Event ready;
  std::thread([&ready, body, name] {
    pthread_setname_np(pthread_self(), name);
    if (runtime != nullptr && forkmend_adopt_thread(runtime) != 0) _exit(90);
    ready.raise();
    body();
  }).detach();
  ready.wait();
}

[[noreturn]] void spin() {
  for (;;) asm volatile("" ::: "memory");
}

void gives_back_late() {
  // It holds `mutex` and calls what would stop it; being stopped there, it would keep the handler.
  for (;;) {
    std::unique_lock lock(mutex);
    cond.wait_for(lock, std::chrono::microseconds(50));
    sched_yield();
  }
}

FILE* stream;

void prints() {
  for (;;) {
    flockfile(stream);
    for (int i = 0; i < 20; i++) {
      const std::lock_guard lock(mutex);
      putc_unlocked('.', stream);
    }
    funlockfile(stream);
    const std::lock_guard lock(mutex);
  }
}

void answers() {
  for (;;) {
    std::unique_lock lock(mutex);
    cond.wait_for(lock, std::chrono::microseconds(100));
    if (asked.exchange(false)) answered = true;
  }
}

void allocates() {
  unsigned seed = 1;
  void* kept[64] = {};
  for (;;) {
    void*& slot = kept[rand_r(&seed) % 64];
    free(slot);
    slot = malloc(static_cast<size_t>(rand_r(&seed) % 20'000));
  }
}

void wait_for_an_answer() {
  asked = true;
  while (!answered.exchange(false)) sched_yield();
}

}  // namespace

int main(int, char** arguments) {
  const char* mode = arguments[1];
  const int forks = arguments[2] != nullptr ? atoi(arguments[2]) : 3;
  if (!victim::is(mode, "computes") && !victim::is(mode, "asleep"))
    runtime = forkmend_register("spinner", nullptr, nullptr);
  std::mutex held;
  if (victim::is(mode, "spin")) {
    start("spins", spin);
  } else if (victim::is(mode, "computes")) {
    start("computes", spin);
  } else if (victim::is(mode, "asleep")) {
    start("asleep", [] {
      int ends[2];
      char byte;
      if (pipe(ends) != 0 || read(ends[0], &byte, 1) != 1) _exit(91);
    });
  } else if (victim::is(mode, "holds")) {
    victim::Event taken;
    start("holds", [&] {
      held.lock();
      taken.raise();
      victim::sleep_for_ever();
    });
    taken.wait();
  } else if (victim::is(mode, "prepare-lock")) {
    pthread_atfork([] { mutex.lock(); }, [] { mutex.unlock(); }, [] { mutex.unlock(); });
    for (int i = 0; i < 4; i++) start("gives-back", gives_back_late);
  } else if (victim::is(mode, "prepare-stream")) {
    stream = fopen("/dev/null", "w");
    pthread_atfork([] { fputs("fork", stream); }, nullptr, nullptr);
    for (int i = 0; i < 2; i++) start("prints", prints);
  } else if (victim::is(mode, "prepare-worker")) {
    pthread_atfork(wait_for_an_answer, nullptr, nullptr);
    start("answers", answers);
  } else if (victim::is(mode, "busy")) {
    for (int i = 0; i < 3; i++) start("allocates", allocates);
  } else {
    for (int i = 0; i < 8; i++) start("sleeps", victim::sleep_for_ever);
  }
  for (int i = 0; i < forks; i++) fork_and_say(i);
  _exit(0);
}
