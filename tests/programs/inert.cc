// Whether the shim acts in this process: prints "active" or "inert", and that threads, locks and
// forks work either way. Built plain, with sanitizers, and as a set-user-id program that is linked
// against the shim (ld.so itself ignores a preload with a path there).
//
//   inert              says it
//   inert exec         says it, then of a program that it starts
#include <thread>

#include "include/forkmend/forkmend.h"
#include "tests/programs/victim.h"

namespace {
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
}

int main(int, char** arguments) {
  forkmend_runtime* runtime = forkmend_register("inert", nullptr, nullptr);
  puts(runtime != nullptr ? "active" : "inert");
  fflush(stdout);
  long sum = 0;
  std::thread adder([&] {
    pthread_mutex_lock(&mutex);
    for (int i = 1; i <= 100; i++) sum += i;
    pthread_mutex_unlock(&mutex);
  });
  adder.join();
  if (sum != 5050) return 1;
  const pid_t child = victim::spawn([&] {
    if (victim::is(arguments[1], "exec")) return execlp(arguments[0], arguments[0], nullptr);
    return pthread_mutex_lock(&mutex);
  });
  return victim::reap(child);
}
