// The pool of the textbooks: std::thread, a mutex, a condition variable, a queue.
//
//   submit    the child submits twenty tasks and waits for their results
//   destroy   the child submits tasks and destroys the pool: they are done, the threads joined
//   join      the child tells the threads to stop and joins each
//
// --busy: the queue has a backlog of 50 us tasks at the fork, so that the threads are at work.
#include <condition_variable>
#include <functional>
#include <mutex>
#include <queue>
#include <thread>
#include <vector>

#include "fork_loop.h"

namespace {

constexpr int kThreads = 4;
constexpr int kTasks = 20;
constexpr int kBacklog = 200;

class Pool {
 public:
  explicit Pool(int threads) {
    for (int i = 0; i < threads; i++)
      threads_.emplace_back([this] {
        pthread_setname_np(pthread_self(), "pool-worker");
        work();
      });
  }
  ~Pool() { join(); }

  void submit(std::function<void()> task) {
    {
      const std::lock_guard guard(mutex_);
      tasks_.push(std::move(task));
    }
    more_.notify_one();
  }
  void join() {
    {
      const std::lock_guard guard(mutex_);
      stop_ = true;
    }
    more_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      more_.wait(lock, [this] { return stop_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      auto task = std::move(tasks_.front());
      tasks_.pop();
      lock.unlock();
      task();
      lock.lock();
    }
  }
  std::mutex mutex_;
  std::condition_variable more_;
  std::queue<std::function<void()>> tasks_;
  std::vector<std::thread> threads_;
  bool stop_ = false;
};

Pool* pool;

void spin(long us) {
  timespec start, now;
  clock_gettime(CLOCK_MONOTONIC, &start);
  do {
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while ((now.tv_sec - start.tv_sec) * 1'000'000 + (now.tv_nsec - start.tv_nsec) / 1000 < us);
}

// Submits the tasks and waits for the last.
struct Batch {
  std::mutex mutex;
  std::condition_variable done;
  int left = kTasks;
};

int submit_and_wait() {
  auto batch = std::make_shared<Batch>();
  for (int i = 0; i < kTasks; i++) {
    pool->submit([batch] {
      const std::lock_guard guard(batch->mutex);
      if (--batch->left == 0) batch->done.notify_one();
    });
  }
  std::unique_lock lock(batch->mutex);
  batch->done.wait(lock, [&] { return batch->left == 0; });
  return 0;
}

int destroy() {
  std::atomic<int> done{0};
  for (int i = 0; i < kTasks; i++) pool->submit([&] { done++; });
  delete pool;
  return done == kTasks ? victim::kOk : victim::kLost;
}

int join() {
  std::atomic<int> done{0};
  for (int i = 0; i < kTasks; i++) pool->submit([&] { done++; });
  pool->join();
  return done == kTasks ? victim::kOk : victim::kLost;
}

}  // namespace

int main(int count, char** arguments) {
  const victim::Options options = victim::parse(count, arguments);
  int (*child)() = nullptr;
  if (options.operation == "submit") child = submit_and_wait;
  if (options.operation == "destroy") child = destroy;
  if (options.operation == "join") child = join;
  if (child == nullptr) victim::usage("submit, destroy, join");
  pool = new Pool(kThreads);
  submit_and_wait();
  return victim::fork_loop(
      options,
      [&] {
        if (options.busy)
          for (int i = 0; i < kBacklog; i++) pool->submit([] { spin(50); });
      },
      child, submit_and_wait, victim::as_it_is);
}
