// A pool with a permanent backlog forks at random moments: what an ordinary pool of C++ threads
// (mutex, condition variable, deque of functions) is in a child, with and without the shim.
//
//   busy_pool task_us=50 forks=1000 workers=4 work=spin child_ms=2000 seconds=600
//
// A worker takes a task under the lock and runs it outside: it spins for task_us of wall time
// (work=spin), or allocates and frees, and frees what another worker allocated (work=malloc). Each
// task queues the next one. The data behind the lock obey an invariant that is broken for some
// microseconds at a time, under the lock.
//
// Each child takes the lock, checks the invariant, empties the queue, starts the workers again
// (the shim does, at its first enqueue; without the shim the child itself, as a program would) and
// has eight tasks done. Without the shim a pool is expected to fail: outcomes are counted, and the
// program ends with 0 when all forks were made. Says:
//
//   step forks|hung|torn|died|failed TIME N       children of each outcome
//   step fork-p50|fork-p99|fork-longest TIME NS   the fork call, in the parent
//   step safepoint-p50|… TIME NS                  its part before the program's own prepare
//   handlers
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "include/forkmend/forkmend.h"
#include "tests/programs/victim.h"

namespace {

constexpr int kBacklog = 32;
constexpr int kTorn = 7;
constexpr int kChildTasks = 8;

struct Options {
  long task_us = 50, forks = 1000, workers = 4, child_ms = 2000, seconds = 600;
  bool allocates = false;

  void read(char** arguments) {
    while (*++arguments != nullptr) {
      const std::string_view argument(*arguments);
      const std::size_t equals = argument.find('=');
      if (equals == std::string_view::npos) victim::set_up_failed(*arguments);
      const std::string_view name = argument.substr(0, equals), value = argument.substr(equals + 1);
      long* const number = name == "task_us"    ? &task_us
                           : name == "forks"    ? &forks
                           : name == "workers"  ? &workers
                           : name == "child_ms" ? &child_ms
                           : name == "seconds"  ? &seconds
                                                : nullptr;
      if (number != nullptr) {
        *number = atol(value.data());
      } else if (name == "work" && (value == "spin" || value == "malloc")) {
        allocates = value == "malloc";
      } else {
        victim::set_up_failed(*arguments);
      }
    }
  }
} options;

void spin(long ns) {
  const long until = victim::now_ns() + ns;
  while (victim::now_ns() < until) {
  }
}

unsigned next_random(unsigned& seed) { return (seed = seed * 1'103'515'245 + 12'345) >> 8; }

class Pool {
 public:
  explicit Pool(long workers) : workers_(workers) {
    forkmend_callbacks callbacks{};
    callbacks.size = sizeof callbacks;
    callbacks.respawn = [](void* self) { return static_cast<Pool*>(self)->start(); };
    runtime_ = forkmend_register("busy", &callbacks, this);
    forkmend_adopt_lock(runtime_, FORKMEND_MUTEX, mutex_.native_handle());
    forkmend_adopt_lock(runtime_, FORKMEND_COND, more_.native_handle());
    start();
  }

  bool has_shim() const { return runtime_ != nullptr; }

  void submit(std::function<void()> task) {
    forkmend_enqueue(runtime_);
    {
      const std::lock_guard lock(mutex_);
      push(std::move(task));
    }
    more_.notify_one();
  }

  // In a child, before anything else: 0, or kTorn.
  int take_over() {
    const std::lock_guard lock(mutex_);
    long sum = 0;
    for (const Entry& entry : queue_) sum += entry.amount;
    if (sum != amount_ || credit_ != debit_) return kTorn;
    queue_.clear();
    amount_ = 0;
    return 0;
  }

  int start() {
    ready_ = 0;
    for (long i = 0; i < workers_; i++) std::thread([this] { work(); }).detach();
    while (ready_ < workers_) sched_yield();
    return 0;
  }

  // What one worker allocated another frees.
  std::vector<void*> exchange(std::vector<void*> mine) {
    const std::lock_guard lock(mutex_);
    mine.swap(handed_over_);
    return mine;
  }

 private:
  struct Entry {
    std::function<void()> task;
    long amount;
  };

  void push(std::function<void()> task) {
    const long amount = ++sequence_;
    credit_ += amount;
    amount_ += amount;  // the invariant is broken from here …
    queue_.push_back({std::move(task), amount});
    spin(2'000);
    debit_ += amount;  // … to here
  }

  void work() {
    if (forkmend_adopt_thread(runtime_) != 0) _exit(90);
    ready_++;
    for (;;) {
      std::function<void()> task;
      {
        std::unique_lock lock(mutex_);
        more_.wait(lock, [this] { return !queue_.empty(); });
        amount_ -= queue_.front().amount;
        task = std::move(queue_.front().task);
        spin(1'000);
        queue_.pop_front();
      }
      task();
    }
  }

  std::mutex mutex_;
  std::condition_variable more_;
  std::deque<Entry> queue_;
  std::vector<void*> handed_over_;
  long amount_ = 0, credit_ = 0, debit_ = 0, sequence_ = 0;
  std::atomic<long> ready_{0};
  const long workers_;
  forkmend_runtime* runtime_ = nullptr;
};

Pool* pool;

void allocate(unsigned seed) {
  std::vector<void*> kept;
  for (int i = 0; i < 100; i++) {
    const std::size_t size = 16 + next_random(seed) % (i % 50 == 0 ? 400'000 : 4'000);
    auto* block = static_cast<char*>(malloc(size));
    block[0] = block[size - 1] = 1;
    kept.push_back(block);
    if (seed & 64 && kept.size() > 8) {
      free(kept[kept.size() / 2]);
      kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(kept.size() / 2));
    }
  }
  for (void* block : pool->exchange(std::move(kept))) free(block);
}

void task(unsigned seed) {
  if (options.allocates) {
    allocate(seed);
  } else {
    spin(options.task_us * 1000);
  }
}

// Each task queues the next one: the backlog never gets shorter.
void again(unsigned seed) {
  task(seed);
  next_random(seed);
  pool->submit([seed] { again(seed); });
}

int child() {
  if (const int code = pool->take_over()) return code;
  if (!pool->has_shim()) pool->start();
  static std::atomic<int> done;
  for (unsigned i = 0; i < kChildTasks; i++) {
    pool->submit([i] {
      task(i);
      done++;
    });
  }
  while (done < kChildTasks) usleep(100);
  return 0;
}

struct Outcomes {
  long hung = 0, torn = 0, died = 0, failed = 0;

  void count(int code) {
    if (code == 0) return;
    (code == victim::kHung ? hung : code == kTorn ? torn : code > 128 ? died : failed)++;
  }
};

// When handlers of the program's own are called, its pool is at rest: only then does libc fork.
long at_rest;

void tell(const char* what, std::vector<long>& times) {
  std::sort(times.begin(), times.end());
  const std::string name = what;
  victim::step((name + "-p50").c_str(), times[times.size() / 2]);
  victim::step((name + "-p99").c_str(), times[times.size() * 99 / 100]);
  victim::step((name + "-longest").c_str(), times.back());
}

}  // namespace

int main(int, char** arguments) {
  options.read(arguments);
  pool = new Pool(options.workers);  // never destroyed: its threads run until the process is gone
  for (unsigned i = 0; i < kBacklog; i++) pool->submit([i] { again(i); });
  std::vector<long> took, waited;
  pthread_atfork([] { at_rest = victim::now_ns(); }, nullptr, nullptr);
  Outcomes outcomes;
  unsigned seed = 1;
  const long until = victim::now_ns() + options.seconds * 1'000'000'000;
  for (long i = 0; i < options.forks && victim::now_ns() < until; i++) {
    usleep(next_random(seed) % static_cast<unsigned>(2 * options.task_us + 500));
    const long start = victim::now_ns();
    const pid_t pid = fork();
    if (pid < 0) victim::set_up_failed("fork");
    if (pid == 0) {
      victim::begin_child();
      _exit(child());
    }
    took.push_back(victim::now_ns() - start);
    waited.push_back(at_rest - start);
    outcomes.count(victim::reap(pid, options.child_ms));
  }
  victim::step("forks", static_cast<long>(took.size()));
  victim::step("hung", outcomes.hung);
  victim::step("torn", outcomes.torn);
  victim::step("died", outcomes.died);
  victim::step("failed", outcomes.failed);
  tell("safepoint", waited);
  tell("fork", took);
  _exit(0);
}
