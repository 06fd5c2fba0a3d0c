// A small parent forks very often: descriptors, memory and mappings stay as they are.
//
//   fork_leaks FORKS [pool]
#include "tests/programs/footprint.h"
#include "tests/programs/pool.h"

using victim::Footprint;

namespace {

// What the first forks may add: pages that are touched once.
constexpr long kWarmUp = 200;
constexpr long kResidentSlackKib = 64;

}  // namespace

int main(int, char** arguments) {
  const long forks = atol(arguments[1]);
  victim::Pool* pool = victim::is(arguments[2], "pool") ? new victim::Pool(2) : nullptr;
  Footprint before;
  for (long i = 0; i < kWarmUp + forks; i++) {
    if (i == kWarmUp) {
      victim::measure_footprint();  // its own buffers are there by the second time
      before = victim::measure_footprint();
    }
    const pid_t child = victim::spawn([] { return 0; });
    int status;
    if (waitpid(child, &status, 0) != child || status != 0) _exit(1);
  }
  if (pool != nullptr && !pool->finish(10'000)) _exit(2);
  const Footprint after = victim::measure_footprint();
  victim::step("descriptors", after.descriptors - before.descriptors);
  victim::step("mappings", after.mappings - before.mappings);
  victim::step("size-kib", after.size_kib - before.size_kib);
  victim::step("resident-kib", after.resident_kib - before.resident_kib);
  if (after.descriptors != before.descriptors) _exit(3);
  if (after.mappings != before.mappings) _exit(4);
  if (after.size_kib != before.size_kib) _exit(5);
  _exit(after.resident_kib <= before.resident_kib + kResidentSlackKib ? 0 : 6);
}
