// What a fork costs with few threads and with many: numbers, no verdict (the bench prints ratios).
//
//   child_entry_cost [THREADS…]     default 1 10 100 1000
//
// A line each: threads, microseconds from the return of fork in the child to its first step, as the
// median of 200 forks; microseconds of the fork call in the parent.
#include <sys/mman.h>

#include <algorithm>
#include <vector>

#include "tests/programs/pool.h"

namespace {

struct Shared {
  long entered;
};

double median(std::vector<long>& values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2),
                   values.end());
  return static_cast<double>(values[values.size() / 2]) / 1000;
}

void measure(int threads) {
  auto* pool = new victim::Pool(threads);
  pool->use(threads * 2, 100, 20'000);
  auto* shared = static_cast<Shared*>(
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  std::vector<long> call, child;
  for (int i = 0; i < 200; i++) {
    const long start = victim::now_ns();
    const pid_t pid = fork();
    if (pid == 0) {
      // What the first interposed calls cost as well: they find out what was lost.
      pthread_mutex_lock(pool->mutex());
      pthread_mutex_unlock(pool->mutex());
      shared->entered = victim::now_ns();
      _exit(0);
    }
    call.push_back(victim::now_ns() - start);
    victim::reap(pid);
    child.push_back(shared->entered - start);
  }
  printf("%5d threads: child at work %9.1f us after fork was called, parent %9.1f us\n", threads,
         median(child), median(call));
  fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
  const int defaults[] = {1, 10, 100, 1000};
  if (count > 1) {
    measure(atoi(arguments[1]));
  } else {
    for (const int threads : defaults) {
      // A process of its own for each, so that the pools do not add up.
      victim::reap(victim::spawn([&] {
        measure(threads);
        return 0;
      }));
    }
  }
  _exit(0);
}
