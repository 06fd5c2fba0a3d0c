// Memory for stacks of the shim's own, kept for the next thread when one has ended, as libc keeps
// the stacks that it makes itself.
//
// Promises: a stack of the size and with the guard that was asked for, or a larger one (less than
// four times as large, as in libc's get_cached_stack). At most kMostCached bytes wait for a thread;
// what is more goes back to the system, the oldest first.
// Does not: lock. The caller holds the lock of the stacks (stacks.cc).
#pragma once

#include <cstddef>

namespace forkmend::threads::stack_cache {

struct Memory {
  char* base;  // lowest usable byte; null: there is none
  std::size_t size;
  std::size_t guard;  // bytes below base that nothing can be written to
};

// As glibc's default of glibc.pthread.stack_cache_size.
inline constexpr std::size_t kMostCached = std::size_t{40} << 20;

// One from the cache; base is null if there is none that fits.
Memory take(std::size_t size, std::size_t guard);
// One from the system.
Memory map(std::size_t size, std::size_t guard);
void unmap(const Memory& memory);
// Keeps it. After each, take_surplus() until there is none.
void give(const Memory& memory);
// What is more than the cache may hold, one at a time; base is null if there is none.
Memory take_surplus();
// In a child that found the lock held: what waits here is given up.
void forget();

}  // namespace forkmend::threads::stack_cache
