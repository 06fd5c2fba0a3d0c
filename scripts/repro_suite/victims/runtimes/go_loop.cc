// A program that calls a Go library (go_work.go) before and after fork.
//
//   goroutines, collect, echo   what the child has the library do
//
// --busy: goroutines wake each other, allocate, and talk over the network all the time. What they
// say to each other in the parent must not be disturbed by a child.
#include "fork_loop.h"

extern "C" {
int Goroutines();
int Collect();
int Echo();
int Disturbances();
void Busy(int pairs);
}

int main(int count, char** arguments) {
  const victim::Options options = victim::parse(count, arguments);
  int (*operation)() = nullptr;
  if (options.operation == "goroutines") operation = Goroutines;
  if (options.operation == "collect") operation = Collect;
  if (options.operation == "echo") operation = Echo;
  if (operation == nullptr) victim::usage("goroutines, collect, echo");
  if (Goroutines() != 0 || operation() != 0) return 3;
  if (options.busy) Busy(2);
  const auto ten_times = [&] {
    if (victim::count_tasks() != 1) return 20;  // nothing comes back before it is called
    for (int i = 0; i < 10; i++) {
      const int failed = operation();
      if (failed != 0) return 20 + failed;
    }
    return 0;
  };
  const auto once = [&] {
    const int failed = operation();
    return failed != 0 ? failed : Disturbances() != 0 ? 9 : 0;
  };
  return victim::fork_loop(
      options, [] {}, ten_times, once, victim::as_it_is);
}
