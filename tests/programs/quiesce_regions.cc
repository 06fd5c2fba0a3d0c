// OpenMP on libgomp: the child of a process that has run a parallel region runs one, and its child.
//
//   quiesce_regions           twenty children, each with a child of its own
//   quiesce_regions inside    fork inside of a parallel region: the pool cannot be paused; a child
//                             that leaves OpenMP alone is well
#include <omp.h>

#include "tests/programs/victim.h"

namespace {

constexpr int kThreads = 4;
constexpr int kForks = 20;

int members() {
  int count = 0;
#pragma omp parallel reduction(+ : count) num_threads(kThreads)
  count += 1;
  return count;
}

int child(int depth) {
  victim::step("region");
  if (members() != kThreads) return 1;
  if (depth == 0) return 0;
  return victim::reap(victim::spawn([&] { return child(depth - 1); }));
}

int inside() {
  int code = 97;
#pragma omp parallel num_threads(kThreads)
  {
#pragma omp master
    code = victim::reap(victim::spawn([] { return 0; }));
  }
  return code;
}

}  // namespace

int main(int, char** arguments) {
  if (members() != kThreads) _exit(victim::kSetUpFailed);
  if (victim::is(arguments[1], "inside")) _exit(inside());
  for (int i = 0; i < kForks; i++) {
    const int code = victim::reap(victim::spawn([] { return child(1); }));
    if (code != 0) _exit(code);
    if (members() != kThreads) _exit(2);
  }
  _exit(0);
}
