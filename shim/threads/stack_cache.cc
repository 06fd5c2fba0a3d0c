#include "shim/threads/stack_cache.h"

#include <string.h>
#include <sys/mman.h>

#include "shim/base/compiler.h"
#include "shim/base/syscall.h"

namespace forkmend::threads::stack_cache {
namespace {

// As many of the least size (16 KiB and the pad) as go into half of the cache: more wait nowhere.
constexpr int kMostEntries = 512;

// The newest last: its pages are the likeliest to be there.
struct Cache {
  Memory entry[kMostEntries];
  int count;
  std::size_t bytes;
};
Cache cache;

Memory remove(int which) {
  const Memory found = cache.entry[which];
  cache.count--;
  cache.bytes -= found.size;
  memmove(&cache.entry[which], &cache.entry[which + 1],
          static_cast<std::size_t>(cache.count - which) * sizeof(Memory));
  return found;
}

}  // namespace

Memory take(std::size_t size, std::size_t guard) {
  for (int i = cache.count - 1; i >= 0; i--) {
    const Memory& m = cache.entry[i];
    if (m.guard == guard && m.size >= size && m.size < size * 4) return remove(i);
  }
  return {nullptr, 0, 0};
}

Memory map(std::size_t size, std::size_t guard) {
  const long memory = sys::call(SYS_mmap, 0, static_cast<long>(size + guard),
                                guard == 0 ? PROT_READ | PROT_WRITE : PROT_NONE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
  if (memory < 0 && memory > -4096) return {nullptr, 0, 0};
  char* base = reinterpret_cast<char*>(memory) + guard;
  if (guard != 0 && sys::call(SYS_mprotect, sys::arg(base), static_cast<long>(size),
                              PROT_READ | PROT_WRITE) != 0) {
    sys::call(SYS_munmap, memory, static_cast<long>(size + guard));
    return {nullptr, 0, 0};
  }
  return {base, size, guard};
}

void unmap(const Memory& m) {
  sys::call(SYS_munmap, sys::arg(m.base - m.guard), static_cast<long>(m.size + m.guard));
}

void give(const Memory& memory) {
  cache.entry[cache.count++] = memory;
  cache.bytes += memory.size;
}

void forget() {
  cache.count = 0;
  cache.bytes = 0;
}

Memory take_surplus() {
  const bool too_much =
      cache.count > 0 && (cache.bytes > kMostCached || cache.count == kMostEntries);
  return too_much ? remove(0) : Memory{nullptr, 0, 0};
}

}  // namespace forkmend::threads::stack_cache
