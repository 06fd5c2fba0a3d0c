// A small parent forks very often: descriptors, memory and mappings stay as they are.
//
//   fork_leaks FORKS [pool]
#include <dirent.h>

#include "tests/programs/pool.h"

namespace {

struct Footprint {
  long descriptors = 0, mappings = 0, size_kib = 0, resident_kib = 0;
};

Footprint measure() {
  Footprint found;
  DIR* directory = opendir("/proc/self/fd");
  while (readdir(directory) != nullptr) found.descriptors++;
  closedir(directory);
  FILE* maps = fopen("/proc/self/maps", "re");
  for (int c; (c = fgetc(maps)) != EOF;) found.mappings += c == '\n';
  fclose(maps);
  FILE* status = fopen("/proc/self/status", "re");
  char line[256];
  while (fgets(line, sizeof line, status) != nullptr) {
    sscanf(line, "VmSize: %ld kB", &found.size_kib);
    sscanf(line, "VmRSS: %ld kB", &found.resident_kib);
  }
  fclose(status);
  return found;
}

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
      measure();  // its own buffers are there by the second time
      before = measure();
    }
    const pid_t child = victim::spawn([] { return 0; });
    int status;
    if (waitpid(child, &status, 0) != child || status != 0) _exit(1);
  }
  if (pool != nullptr && !pool->finish(10'000)) _exit(2);
  const Footprint after = measure();
  victim::step("descriptors", after.descriptors - before.descriptors);
  victim::step("mappings", after.mappings - before.mappings);
  victim::step("size-kib", after.size_kib - before.size_kib);
  victim::step("resident-kib", after.resident_kib - before.resident_kib);
  if (after.descriptors != before.descriptors) _exit(3);
  if (after.mappings != before.mappings) _exit(4);
  if (after.size_kib != before.size_kib) _exit(5);
  _exit(after.resident_kib <= before.resident_kib + kResidentSlackKib ? 0 : 6);
}
