// Forks before main: in the constructor of a linked library (constructor_fork.cc, which runs before
// the preload's own), in one that dlopen runs, and in the program's own; with threads alive and
// without.
#include <dlfcn.h>

#include <thread>

#include "tests/programs/victim.h"

extern "C" int library_was_here();

namespace {

int forks_well() {
  const pid_t child = victim::spawn([] {
    std::thread([] {}).join();
    return 0;
  });
  return victim::reap(child);
}

struct Early {
  Early() {
    code = forks_well();
    std::thread sleeper(victim::sleep_for_ever);
    sleeper.detach();
    if (code == 0) code = forks_well();
  }
  int code;
} early;

}  // namespace

int main() {
  if (early.code != 0) return early.code;
  if (library_was_here() != 1) return 1;
  return forks_well();
}
