// The program that constructor_first.cc is linked to: threads made before and after the preload's
// constructor both work, and a fork with one of each.
#include <thread>

#include "tests/programs/victim.h"

extern "C" int early_result();

int main() {
  if (const int failed = early_result()) return failed;
  std::thread([] {}).join();
  std::thread(victim::sleep_for_ever).detach();
  const pid_t child = victim::spawn([] {
    std::thread([] {}).join();
    return 0;
  });
  return victim::reap(child);
}
