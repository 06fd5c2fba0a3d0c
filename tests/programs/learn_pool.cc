// Three threads named "learn-pool" that wait on a condition variable for a second; then exit 7.
#include <condition_variable>
#include <mutex>
#include <thread>

#include "tests/programs/victim.h"

int main() {
  std::mutex mutex;
  std::condition_variable more;
  bool stop = false;
  std::thread threads[3];
  for (std::thread& thread : threads) {
    thread = std::thread([&] {
      pthread_setname_np(pthread_self(), "learn-pool");
      std::unique_lock lock(mutex);
      more.wait(lock, [&] { return stop; });
    });
  }
  sleep(1);
  {
    const std::lock_guard guard(mutex);
    stop = true;
  }
  more.notify_all();
  for (std::thread& thread : threads) thread.join();
  return 7;
}
