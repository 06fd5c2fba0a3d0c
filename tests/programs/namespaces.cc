// A library with threads in a namespace of its own (dlmopen), beside those of the program: both
// fork.
//
//   namespaces LIBRARY
#include <dlfcn.h>

#include "tests/programs/ordinary.h"

namespace {

int (*find(void* library, const char* name))() {
  auto* found = reinterpret_cast<int (*)()>(dlsym(library, name));
  if (found == nullptr) victim::set_up_failed(name);
  return found;
}

}  // namespace

int main(int, char** arguments) {
  void* library = dlmopen(LM_ID_NEWLM, arguments[1], RTLD_NOW);
  if (library == nullptr) victim::set_up_failed(dlerror());
  auto* work_there = find(library, "work_here");
  auto* start_there = find(library, "start_thread_here");
  auto* end_there = find(library, "end_thread_here");
  if (work_there() != 0) _exit(1);
  if (ordinary::work() != 0) _exit(2);
  if (start_there() != 0) _exit(3);
  if (ordinary::work() != 0) _exit(4);
  if (work_there() != 0) _exit(5);
  // A child that this libc forked uses the other one's threads.
  if (const int code = victim::reap(victim::spawn(work_there))) _exit(10 + code);
  if (end_there() != 0) _exit(6);
  _exit(dlclose(library) == 0 ? ordinary::work() : 7);
}
