// Time in nanoseconds as plain integers.
// Promises: async-signal-safe, and the kernel's time: a raw system call, since clock_gettime may be
// interposed, and libfaketime's takes a mutex, which would come back to us. About 0.1 us; not on
// hot paths.
#pragma once

#include <time.h>

#include <cstdint>

#include "shim/base/syscall.h"

namespace forkmend {

using Nanoseconds = std::int64_t;
inline constexpr Nanoseconds kMicrosecond = 1000;
inline constexpr Nanoseconds kMillisecond = 1000 * kMicrosecond;
inline constexpr Nanoseconds kSecond = 1000 * kMillisecond;

inline Nanoseconds to_nanoseconds(const timespec& t) { return t.tv_sec * kSecond + t.tv_nsec; }
inline timespec to_timespec(Nanoseconds ns) {
  return {static_cast<time_t>(ns / kSecond), static_cast<long>(ns % kSecond)};
}
inline Nanoseconds now(clockid_t clock = CLOCK_MONOTONIC) {
  timespec t{};
  sys::call(SYS_clock_gettime, clock, sys::arg(&t));
  return to_nanoseconds(t);
}

}  // namespace forkmend
