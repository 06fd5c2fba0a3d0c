// The watch over a wait in a process with lost threads.
//
// Promises: run by the waiting thread itself, between slices; it looks after the grace (1 s), at
// the threshold (10 s) and then ever more rarely. What it finds is proved (proof.h) and reported
// once. Does not: end the wait. The action after a report is FORKMEND_ON_LOCKUP's.
#pragma once

#include "shim/base/compiler.h"
#include "shim/threads/thread.h"

namespace forkmend::watch {

// True if waits without a timeout are to be taken in slices: this process has lost threads.
FORKMEND_INLINE bool needed() {
  return FORKMEND_UNLIKELY(threads::lost.load(std::memory_order_relaxed) > 0);
}

// A wait begins.
void begin(Thread& t);
// When to look next, CLOCK_MONOTONIC.
Nanoseconds next_look(Thread& t);
// A slice is over and the wait is not: looks. Signals are held meanwhile: no handler of the
// program's runs inside the shim's own code. True if one came that would have ended the wait with
// EINTR: it does so now. (One that comes in the microseconds between the end of the slice and the
// look, or between that and the next slice, runs its handler and the wait goes on; Python's are
// found by the look.)
bool look(Thread& t);
// The wait ended by itself.
void end(Thread& t);

}  // namespace forkmend::watch
