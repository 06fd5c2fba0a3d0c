// A parallel region of libgomp, and then nothing, for ever.
#include "tests/programs/victim.h"

int main() {
  int members = 0;
#pragma omp parallel reduction(+ : members) num_threads(3)
  members += 1;
  if (members != 3) _exit(victim::kSetUpFailed);
  victim::sleep_for_ever();
}
