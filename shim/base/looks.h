// Waiting for something that no event tells, by looking again and again.
// Promises: async-signal-safe, raw system calls only.
#pragma once

#include "shim/base/clock.h"
#include "shim/base/syscall.h"

namespace forkmend {

// After look number `look` (from 0): gives the processor away for the first looks, since what is
// waited for mostly takes a few microseconds; then sleeps for `pause`, since on one CPU the others
// need it.
inline void pause_between_looks(int look, Nanoseconds pause) {
  constexpr int kYields = 20;
  if (look < kYields) {
    sys::yield();
    return;
  }
  const timespec time = to_timespec(pause);
  sys::call(SYS_nanosleep, sys::arg(&time));
}

}  // namespace forkmend
