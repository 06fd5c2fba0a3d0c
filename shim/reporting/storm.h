// Storms: a thousand children that lock up in the same place must not write a thousand reports.
//
// Promises: one shared page of atomic counters, mapped by the first ancestor before its first
// thread and inherited by its children; no lock. The first process writes the whole block, the
// second and third a line, then one at 10, 100, 1,000.
#pragma once

#include <cstdint>

namespace forkmend::storm {

void map_counters();

// Counts one more lockup with this fingerprint, in this process's family; returns how many it is.
// Where there is no page (no memory, table full) every one is the first.
std::uint32_t count(std::uint64_t fingerprint);

// Whether the n-th is worth a line.
inline bool is_said(std::uint32_t n) {
  if (n <= 3) return true;
  while (n % 10 == 0) n /= 10;
  return n == 1;
}

}  // namespace forkmend::storm
