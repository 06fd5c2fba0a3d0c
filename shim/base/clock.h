// Time in nanoseconds as plain integers.
// Promises: async-signal-safe (vDSO clock_gettime takes no lock).
#pragma once

#include <time.h>

#include <cstdint>

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
  timespec t;
  clock_gettime(clock, &t);
  return to_nanoseconds(t);
}

}  // namespace forkmend
