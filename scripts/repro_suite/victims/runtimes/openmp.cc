// OpenMP: built once against libgomp and once against libomp, which heals itself.
//
//   region    the child runs parallel loops
//   tasks     the child runs a tree of tasks
//
// --busy: another thread of the parent runs parallel regions all the time, with workers of its own.
#include <pthread.h>

#include "fork_loop.h"

namespace {

constexpr int kThreads = 4;

long loop() {
  long sum = 0;
#pragma omp parallel for reduction(+ : sum) num_threads(kThreads)
  for (int i = 0; i < 1000; i++) sum += i;
  return sum;
}

int members() {
  int count = 0;
#pragma omp parallel reduction(+ : count) num_threads(kThreads)
  count += 1;
  return count;
}

long fibonacci(int n) {
  if (n < 2) return n;
  long a = 0, b = 0;
#pragma omp task shared(a)
  a = fibonacci(n - 1);
#pragma omp task shared(b)
  b = fibonacci(n - 2);
#pragma omp taskwait
  return a + b;
}

long tree() {
  long result = 0;
#pragma omp parallel num_threads(kThreads)
#pragma omp single
  result = fibonacci(12);
  return result;
}

int regions() {
  for (int i = 0; i < 20; i++) {
    if (loop() != 499500) return victim::kFirst;
    if (members() != kThreads) return victim::kSecond;
  }
  return victim::kOk;
}

int tasks() {
  for (int i = 0; i < 5; i++) {
    if (tree() != 144) return victim::kThird;
  }
  return victim::kOk;
}

void* background(void*) {
  for (;;) {
    if (loop() != 499500) std::abort();
    victim::pause_ms(1);
  }
}

}  // namespace

int main(int count, char** arguments) {
  const victim::Options options = victim::parse(count, arguments);
  int (*operation)() = nullptr;
  if (options.operation == "region") operation = regions;
  if (options.operation == "tasks") operation = tasks;
  if (operation == nullptr) victim::usage("region, tasks");
  operation();
  if (options.busy) {
    pthread_t thread;
    pthread_create(&thread, nullptr, background, nullptr);
  }
  return victim::fork_loop(
      options, [] {}, operation, operation, victim::as_it_is);
}
