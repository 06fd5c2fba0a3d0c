// The thread that exits, seen by a parked one: does it wait for what a parked thread will never do?
//
// Promises: acts only on what it has seen twice, on a wait for a mutex whose owner is parked, for
// the end of a parked thread, or, past FORKMEND_EXIT_MS, for a word that a parked thread's stack
// refers to. Then the mutex is opened, the thread ends, or the word is set free; each is reported.
// Does not: touch a lock that is shared with other processes, robust, or of priority inheritance.
#pragma once

#include <cstdint>

#include "shim/base/clock.h"

namespace forkmend::exiting {

class Stuck {
 public:
  // Looks once at what the thread with this id does.
  void look(int tid);

 private:
  // The wait that was seen last: the word, and where it was called from.
  std::uintptr_t word_ = 0, sp_ = 0;
  Nanoseconds since_ = 0;
};

}  // namespace forkmend::exiting
