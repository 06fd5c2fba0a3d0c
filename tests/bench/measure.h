// The stopwatch of the benchmark rows, and the median they print.
//
// The clock is read by a raw system call: libfaketime interposes clock_gettime, forkmend interposes
// syscall, and neither may sit inside the stopwatch that measures it.
#pragma once

#include <sys/syscall.h>

#include <algorithm>
#include <cstddef>
#include <ctime>
#include <vector>

namespace bench {

inline double nanoseconds() {
  timespec at{};
#if defined(__x86_64__)
  long result = SYS_clock_gettime;
  asm volatile("syscall"
               : "+a"(result)
               : "D"(static_cast<long>(CLOCK_MONOTONIC)), "S"(&at)
               : "rcx", "r11", "memory");
#else
  clock_gettime(CLOCK_MONOTONIC, &at);
#endif
  return static_cast<double>(at.tv_sec) * 1e9 + static_cast<double>(at.tv_nsec);
}

// Nanoseconds of one call of body, averaged over `times` calls in a row.
template <class Body>
double time_of(int times, Body body) {
  const double start = nanoseconds();
  for (int i = 0; i < times; ++i) body();
  return (nanoseconds() - start) / times;
}

// The median of `samples` results of sample(). A median, because the machine is shared: a sample
// that was preempted is wrong by milliseconds, and there is always one.
template <class Sample>
double median_of(int samples, Sample sample) {
  std::vector<double> results(static_cast<std::size_t>(samples));
  for (double& result : results) result = sample();
  const auto middle = results.begin() + samples / 2;
  std::nth_element(results.begin(), middle, results.end());
  return *middle;
}

}  // namespace bench
