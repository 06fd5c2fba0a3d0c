// A program with a pool of its own forks under load: the pool works in parent, child and
// grandchild.
//
//   pool_forks threads=4 forks=100 forkers=1 depth=1 load=1 jobs=20
//
// `forkers` threads fork at the same time, `forks` in all; while `load` producers keep the pool
// busy. Each child uses the pool, and forks `depth - 1` generations below itself. Ends with 0, or
// the code of the step that failed (pool.h), 99 if a child hung.
#include <thread>
#include <vector>

#include "tests/programs/pool.h"

namespace {

struct Options {
  long threads = 4, forks = 100, forkers = 1, depth = 1, load = 1, jobs = 20, work_us = 20;
  long child_ms = 10'000;

  void read(char** arguments) {
    while (*++arguments != nullptr) {
      const char* equals = strchr(*arguments, '=');
      const std::string_view name(*arguments,
                                  equals != nullptr ? static_cast<size_t>(equals - *arguments) : 0);
      long* const value = name == "threads"    ? &threads
                          : name == "forks"    ? &forks
                          : name == "forkers"  ? &forkers
                          : name == "depth"    ? &depth
                          : name == "load"     ? &load
                          : name == "jobs"     ? &jobs
                          : name == "work_us"  ? &work_us
                          : name == "child_ms" ? &child_ms
                                               : nullptr;
      if (value == nullptr) victim::set_up_failed(*arguments);
      *value = atol(equals + 1);
    }
  }
} options;

victim::Pool* pool;
std::atomic<bool> stopping{false};
std::atomic<long> forks_left{0};
std::atomic<int> first_failure{0};

int generation(long depth) {
  if (const int code =
          pool->use(static_cast<int>(options.jobs), options.work_us * 1000, options.child_ms))
    return code;
  // Once per process, however often it was handed work.
  if (pool->has_shim() && pool->respawns() != 1) return 21;
  if (depth <= 1) return 0;
  // The grandchild's pool is lost again, this child's goes on.
  const pid_t pid = victim::spawn([&] { return generation(depth - 1); });
  if (const int code = victim::reap(pid)) return code;
  return pool->use(static_cast<int>(options.jobs), 1000, options.child_ms) == 0 ? 0 : 22;
}

void fork_children() {
  while (first_failure == 0 && forks_left.fetch_sub(1) > 0) {
    const pid_t pid = victim::spawn([] { return generation(options.depth); });
    if (const int code = victim::reap(pid)) first_failure = code;
  }
}

void produce(unsigned seed) {
  while (!stopping) {
    // From nothing at all to a few milliseconds: forks meet the pool in every state.
    pool->submit(rand_r(&seed) % 100'000);
    if (rand_r(&seed) % 8 == 0) {
      const timespec pause{0, rand_r(&seed) % 500'000};
      nanosleep(&pause, nullptr);
    }
  }
}

}  // namespace

int main(int, char** arguments) {
  options.read(arguments);
  // Never destroyed: its threads run until the process is gone.
  pool = new victim::Pool(static_cast<int>(options.threads));
  forks_left = options.forks;
  std::vector<std::thread> producers, forkers;
  for (unsigned i = 0; i < options.load; i++) producers.emplace_back(produce, i + 1);
  for (int i = 1; i < options.forkers; i++) forkers.emplace_back(fork_children);
  const long start = victim::now_ns();
  fork_children();
  for (std::thread& forker : forkers) forker.join();
  victim::step("forked", (victim::now_ns() - start) / options.forks / 1000);
  stopping = true;
  for (std::thread& producer : producers) producer.join();
  if (first_failure != 0) _exit(first_failure);
  if (!pool->finish(20'000)) return 31;
  if (const int code = pool->use(100, 1000, 20'000)) return code + 20;
  if (pool->has_shim() && pool->before_forks() < options.forks) return 32;
  if (pool->respawns() != 0) return 33;
  // No helper thread: the main thread and the consumers.
  if (victim::count_tasks() != options.threads + 1) return 34;
  return 0;
}
