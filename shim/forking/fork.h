// One fork: what is known of it before it, for the child that comes of it.
//
// Promises: two threads may fork at once, and a handler on top of a fork: each has an object of its
// own, on the forking thread's stack (about 200 bytes), and libc's handlers find it by a pointer of
// the thread's. A fork that libc starts by itself has no frame of ours around it: its object has a
// page of its own until the handlers of parent and child have run. Nothing that a fork has to tell
// its child may stand in a global variable: the child of one thread would read what another wrote
// (it then opened a lock that it held itself). What stays global is the gate, which counts the
// forks under way, and what is per runtime.
// Does not: allocate, but for a page where a fork finds more locks held than it has room for.
#pragma once

#include "shim/base/clock.h"
#include "shim/locks/held.h"

namespace forkmend::forking {

// Where an interpreter was when it forked.
struct Place {
  char python_file[256];
  char python_function[64];
  int python_line;
};

// Who forked this process, for the report.
struct Origin : Place {
  Nanoseconds monotonic, wall;
  int parent_pid;
  const void* caller;  // address of the call to fork, or null
};

struct Fork {
  // Of the process that forks. An outer fork whose child a handler forked has another one's.
  std::uint32_t generation = 0;
  int parent_pid = 0;
  Nanoseconds monotonic = 0, wall = 0;
  const void* caller = nullptr;
  locks::Collection held;  // what lost threads will hold
  Fork* outer = nullptr;   // the one that this thread was in the middle of, or null
  bool announced = false;  // this thread's pointer leads here
  bool on_own_page = false;
};

}  // namespace forkmend::forking
