// The child waits on a condition variable whose signaller ran only in the parent.
//
//   lost_signaller         pthread_cond_wait
//   lost_signaller c11     cnd_wait
//   lost_signaller std     std::condition_variable::wait
//
// A ticker thread increments a number and signals; the child waits for the next number.
#include <threads.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "tests/programs/victim.h"

namespace {

// One representation for the three: that of libc.
std::mutex mutex;
std::condition_variable ticked;
long ticks;

pthread_mutex_t* raw_mutex() { return mutex.native_handle(); }
pthread_cond_t* raw_cond() { return ticked.native_handle(); }

void tick() {
  pthread_setname_np(pthread_self(), "ticker");
  for (;;) {
    {
      const std::lock_guard guard(mutex);
      ticks++;
    }
    ticked.notify_one();
    const timespec pause{0, 1'000'000};
    nanosleep(&pause, nullptr);
  }
}

void wait_until(const char* mode, long number) {
  std::unique_lock lock(mutex);
  while (ticks < number) {
    if (victim::is(mode, "c11")) {
      cnd_wait(reinterpret_cast<cnd_t*>(raw_cond()), reinterpret_cast<mtx_t*>(raw_mutex()));
    } else if (victim::is(mode, "std")) {
      ticked.wait(lock);
    } else {
      pthread_cond_wait(raw_cond(), raw_mutex());
    }
  }
}

}  // namespace

__attribute__((noinline)) int next_tick(const char* mode) {
  victim::step("waits");
  wait_until(mode, ticks + 1);
  return 0;
}

int main(int, char** arguments) {
  const char* mode = arguments[1];
  std::thread(tick).detach();
  wait_until(mode, 3);
  // The lock is held across the fork, so that the child has it and waits for nothing else.
  mutex.lock();
  const pid_t child = victim::spawn([&] {
    mutex.unlock();
    return next_tick(mode);
  });
  mutex.unlock();
  _exit(victim::reap(child));
}
