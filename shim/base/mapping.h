// Whether memory is shared with other processes, by /proc/self/maps.
// Promises: raw system calls, 4 to 14 us; only where a lock's own flags do not tell.
#pragma once

namespace forkmend {

// True for a MAP_SHARED mapping, and where it cannot be told.
bool in_shared_memory(const void* address);

}  // namespace forkmend
