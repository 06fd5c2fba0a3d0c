// A pool whose lost threads begin again in the child (policy rerun): their start routine keeps
// nothing of its own and may be called twice.
//
//   rerun_pool submit|frees|moves [forks=N]
//
// submit: workers are given the pool. Each child hands jobs over, waits for them, stops the pool
// and joins the handles that it inherited. frees: a worker deletes what it was given before it
// works. moves: it is a std::thread that took a unique_ptr by value. Both would use what is gone if
// they began again: the child is left with a pool that does nothing, and says "step waits" before
// it waits for it.
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>

#include "tests/programs/victim.h"

namespace {

constexpr int kWorkers = 4;
constexpr int kJobs = 50;

struct Pool {
  std::mutex mutex;
  std::condition_variable more, finished;
  std::deque<int> jobs;
  bool stopping = false;
  int done = 0;

  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      more.wait(lock, [this] { return stopping || !jobs.empty(); });
      if (jobs.empty()) return;
      jobs.pop_front();
      done++;
      finished.notify_all();
    }
  }
  void submit(int count) {
    const std::lock_guard lock(mutex);
    for (int i = 0; i < count; i++) jobs.push_back(i);
    more.notify_all();
  }
  void wait_for(int count) {
    std::unique_lock lock(mutex);
    finished.wait(lock, [&] { return done >= count; });
  }
  void stop() {
    const std::lock_guard lock(mutex);
    stopping = true;
    more.notify_all();
  }
};

Pool pool;
pthread_t threads[kWorkers];

struct Given {
  Pool* pool;
  int number;
};
Given given[kWorkers];

void* works(void* argument) {
  auto* mine = static_cast<Given*>(argument);
  // A thread-local object, as libraries have them.
  thread_local std::unique_ptr<int> own = std::make_unique<int>(mine->number);
  mine->pool->work();
  return *own == mine->number ? mine : nullptr;
}

void* frees(void* argument) {
  const auto* mine = static_cast<Given*>(argument);
  Pool& which = *mine->pool;
  delete mine;
  which.work();
  return nullptr;
}

void start(std::string_view mode) {
  for (int i = 0; i < kWorkers; i++) {
    if (mode == "moves") {
      auto mine = std::make_unique<Given>(Given{&pool, i});
      std::thread thread([](std::unique_ptr<Given> taken) { taken->pool->work(); },
                         std::move(mine));
      threads[i] = thread.native_handle();
      thread.detach();
      continue;
    }
    given[i] = {&pool, i};
    void* argument = mode == "frees" ? new Given(given[i]) : &given[i];
    if (pthread_create(&threads[i], nullptr, mode == "frees" ? frees : works, argument) != 0)
      victim::set_up_failed("pthread_create");
  }
}

int child(std::string_view mode) {
  const int before = pool.done;
  victim::step("waits");  // already for its lock, maybe: a worker may have held it at the fork
  pool.submit(kJobs);
  pool.wait_for(before + kJobs);
  if (mode != "submit") return 0;
  pool.stop();
  for (int i = 0; i < kWorkers; i++) {
    void* result = nullptr;
    if (pthread_join(threads[i], &result) != 0) return 1;
    if (result != &given[i]) return 2;
  }
  return pool.done == before + kJobs ? 0 : 3;
}

}  // namespace

int main(int count, char** arguments) {
  const std::string_view mode = count > 1 ? arguments[1] : "submit";
  int forks = 1;
  if (count > 2 && sscanf(arguments[2], "forks=%d", &forks) != 1) victim::set_up_failed("usage");
  start(mode);
  for (int i = 0; i < forks; i++) {
    const int before = pool.done;
    pool.submit(kJobs);
    pool.wait_for(before + kJobs);
    const pid_t pid = victim::spawn([&] { return child(mode); });
    if (const int code = victim::reap(pid)) _exit(code);
  }
  _exit(0);
}
