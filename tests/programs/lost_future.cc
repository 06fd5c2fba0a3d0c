// The child hands a task to a pool whose threads ran only in the parent, and waits for it as
// libstdc++ does: on a futex that nobody says to be private.
//
//   lost_future future        std::future::get of a std::packaged_task
//   lost_future promise       std::future::wait for a std::promise
//   lost_future atomic        std::atomic::wait   (before GCC 11 the call that it makes)
//   lost_future latch         std::latch::wait    (likewise)
//   lost_future shared        the word lies in memory that the parent shares, and the parent ends
//                             the wait after three seconds: healthy
#include <linux/futex.h>
#include <sys/mman.h>
#if __has_include(<latch>)
#include <latch>
#endif

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

#include "tests/programs/victim.h"

namespace {

using victim::is;

std::mutex mutex;
std::condition_variable more;
std::deque<std::function<void()>> jobs;
victim::Event idle;

void work() {
  pthread_setname_np(pthread_self(), "pool");
  std::unique_lock lock(mutex);
  idle.raise();
  for (;;) {
    more.wait(lock, [] { return !jobs.empty(); });
    const auto job = jobs.front();
    jobs.pop_front();
    job();
  }
}

void submit(std::function<void()> job) {
  {
    const std::lock_guard guard(mutex);
    jobs.push_back(std::move(job));
  }
  more.notify_one();
}

int* shared_word;

int wait_for_parent() {
  submit([] {});
  victim::step("waits");
  while (__atomic_load_n(shared_word, __ATOMIC_ACQUIRE) == 0)
    syscall(SYS_futex, shared_word, FUTEX_WAIT, 0, nullptr, nullptr, 0);
  return 0;
}

}  // namespace

__attribute__((noinline)) int compute(const char* mode) {
  if (is(mode, "future")) {
    auto task = std::make_shared<std::packaged_task<int()>>([] { return 0; });
    auto result = task->get_future();
    submit([task] { (*task)(); });
    victim::step("waits");
    return result.get();
  }
  if (is(mode, "promise")) {
    auto promise = std::make_shared<std::promise<void>>();
    auto kept = promise->get_future();
    submit([promise] { promise->set_value(); });
    victim::step("waits");
    kept.wait();
    return 0;
  }
#if defined(__cpp_lib_latch) && defined(__cpp_lib_atomic_wait)
  if (is(mode, "latch")) {
    auto* done = new std::latch(1);
    submit([done] { done->count_down(); });
    victim::step("waits");
    done->wait();
    return 0;
  }
#endif
  if (is(mode, "atomic") || is(mode, "latch")) {
    auto* done = new std::atomic<int>(0);
    submit([done] { done->store(1); });
    victim::step("waits");
#ifdef __cpp_lib_atomic_wait
    done->wait(0);
#else
    while (done->load() == 0) syscall(SYS_futex, done, FUTEX_WAIT, 0, nullptr, nullptr, 0);
#endif
    return 0;
  }
  return is(mode, "shared") ? wait_for_parent() : 97;
}

int main(int, char** arguments) {
  const char* mode = arguments[1];
  shared_word = static_cast<int*>(
      mmap(nullptr, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  std::thread(work).detach();
  idle.wait();
  mutex.lock();  // once it can be had, the pool waits
  const pid_t child = victim::spawn([&] {
    mutex.unlock();
    return compute(mode);
  });
  mutex.unlock();
  if (is(mode, "shared")) {
    const timespec pause{3, 0};
    nanosleep(&pause, nullptr);
    __atomic_store_n(shared_word, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, shared_word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  }
  _exit(victim::reap(child));
}
