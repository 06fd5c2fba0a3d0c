// The child hands work to a pool whose threads ran only in the parent, and waits for the result: a
// pool that nobody registered, as most are.
//
//   handed_over cond        the result's condition variable was never touched before the fork
//   handed_over idle        the child hands nothing over and waits all the same: no report, since
//                           nothing says that the pool is what it waits for
#include <condition_variable>
#include <mutex>
#include <queue>
#include <thread>

#include "tests/programs/victim.h"

namespace {

std::mutex mutex;
std::condition_variable more;
std::queue<int*> jobs;

struct Result {
  std::mutex mutex;
  std::condition_variable done;
  bool ready = false;
};

void work() {
  pthread_setname_np(pthread_self(), "pool");
  std::unique_lock lock(mutex);
  for (;;) {
    more.wait(lock, [] { return !jobs.empty(); });
    *jobs.front() = 1;
    jobs.pop();
  }
}

}  // namespace

__attribute__((noinline)) int compute(bool hand_over) {
  auto* result = new Result;
  int value = 0;
  if (hand_over) {
    const std::lock_guard guard(mutex);
    jobs.push(&value);
    more.notify_one();
  }
  victim::step("waits");
  std::unique_lock lock(result->mutex);
  result->done.wait(lock, [&] { return result->ready; });
  return 0;
}

int main(int, char** arguments) {
  for (int i = 0; i < 3; i++) std::thread(work).detach();
  // Until the pool is idle: each worker waits when the mutex was free this often with no job left.
  int done = 0;
  {
    const std::lock_guard guard(mutex);
    jobs.push(&done);
  }
  more.notify_one();
  for (bool idle = false; !idle;) {
    const std::lock_guard guard(mutex);
    idle = done == 1;
  }
  const bool hand_over = !victim::is(arguments[1], "idle");
  // Held across the fork: no worker has it then, each is in its wait or on the way to it.
  mutex.lock();
  const pid_t child = victim::spawn([&] {
    mutex.unlock();
    return compute(hand_over);
  });
  mutex.unlock();
  _exit(victim::reap(child));
}
