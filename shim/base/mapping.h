// Whether memory is shared with other processes, by /proc/self/maps.
// Promises: raw system calls, 4 to 14 us; only where a lock's own flags do not tell.
#pragma once

#include <cstdint>

namespace forkmend {

struct Mapping {
  std::uintptr_t begin, end;
  bool is_shared;
  bool holds(const void* address) const {
    const auto at = reinterpret_cast<std::uintptr_t>(address);
    return at >= begin && at < end;
  }
};
// Where it cannot be told: a shared one that holds nothing.
Mapping mapping_of(const void* address);

// True for a MAP_SHARED mapping, and where it cannot be told.
bool in_shared_memory(const void* address);

}  // namespace forkmend
