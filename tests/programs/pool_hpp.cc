// The C++ wrapper: a pool built on std::mutex, std::condition_variable and forkmend::runtime, whose
// respawn throws what std::thread throws.
#include <sys/resource.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <thread>

#include "include/forkmend/forkmend.hpp"
#include "tests/programs/victim.h"

namespace {

class Pool {
 public:
  explicit Pool(int threads) : threads_(threads), runtime_("hpp-pool", functions()) {
    if (runtime_.adopt(mutex_) != 0 || runtime_.adopt(more_) != 0) victim::set_up_failed("adopt");
    start();
  }

  int submit(int* result) {
    const int error = runtime_.enqueue();
    const std::lock_guard guard(mutex_);
    jobs_.push_back(result);
    more_.notify_one();
    return error;
  }

  bool lost() const { return runtime_.lost(); }
  bool has_shim() const { return static_cast<bool>(runtime_); }

 private:
  forkmend::callbacks functions() {
    forkmend::callbacks made;
    made.respawn = [this] {
      jobs_.clear();
      adopted_ = 0;
      started_ = 0;
      return start();
    };
    return made;
  }

  int start() {
    for (; started_ < threads_; started_++) std::thread([this] { work(); }).detach();
    while (adopted_ < threads_) std::this_thread::yield();
    return 0;
  }

  [[noreturn]] void work() {
    runtime_.adopt_this_thread();
    adopted_++;
    std::unique_lock lock(mutex_);
    for (;;) {
      more_.wait(lock, [this] { return !jobs_.empty(); });
      int* const result = jobs_.front();
      jobs_.pop_front();
      __atomic_store_n(result, 1, __ATOMIC_RELEASE);
    }
  }

  const int threads_;
  int started_ = 0;
  std::atomic<int> adopted_{0};
  std::mutex mutex_;
  std::condition_variable more_;
  std::deque<int*> jobs_;
  forkmend::runtime runtime_;
};

bool becomes_done(const int& result, long ms) {
  const long until = victim::now_ns() + ms * 1'000'000;
  while (__atomic_load_n(&result, __ATOMIC_ACQUIRE) == 0) {
    if (victim::now_ns() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace

int main(int, char** arguments) {
  const long ms = arguments[1] != nullptr ? atol(arguments[1]) : 10'000;
  Pool& pool = *new Pool(3);
  int done = 0;
  if (pool.submit(&done) != 0 || !becomes_done(done, ms)) return 1;
  const pid_t child = victim::spawn([&] {
    if (pool.has_shim() && !pool.lost()) return 2;
    if (pool.has_shim()) {
      victim::become_nobody();
      rlimit limit;
      getrlimit(RLIMIT_NPROC, &limit);
      rlimit tight = limit;
      tight.rlim_cur = 1;
      setrlimit(RLIMIT_NPROC, &tight);
      int unused = 0;
      if (pool.submit(&unused) != EAGAIN) return 3;  // std::system_error, caught by the wrapper
      setrlimit(RLIMIT_NPROC, &limit);
    }
    int result = 0;
    if (pool.submit(&result) != 0) return 4;
    if (!becomes_done(result, ms)) return 5;
    return pool.lost() ? 6 : 0;
  });
  return victim::reap(child);
}
