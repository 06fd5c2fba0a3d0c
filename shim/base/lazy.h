// A large table that is mapped when it is first used.
//
// Promises: a program that never needs the table pays for neither its pages nor its address space
// (a shared object of more than 2 MiB is placed apart from the others, and each fork then copies
// one more page table: 13 % of the fork of a small program). Zeroed, never unmapped; raw mmap, so
// that it works in a child and beside any allocator. Does not: run constructors: T must be fine
// when all its bytes are zero.
#pragma once

#include <sys/mman.h>

#include <atomic>

#include "shim/base/syscall.h"

namespace forkmend {

template <class T>
class Lazy {
 public:
  // Null if there is no memory.
  T* get() {
    T* table = table_.load(std::memory_order_acquire);
    return table != nullptr ? table : map();
  }
  // Null before the first get().
  T* existing() const { return table_.load(std::memory_order_acquire); }

 private:
  __attribute__((noinline)) T* map() {
    const long memory = sys::call(SYS_mmap, 0, sizeof(T), PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory < 0 && memory > -4096) return nullptr;
    T* mine = reinterpret_cast<T*>(memory);
    T* expected = nullptr;
    if (table_.compare_exchange_strong(expected, mine)) return mine;
    sys::call(SYS_munmap, memory, sizeof(T));  // another thread was first
    return expected;
  }
  std::atomic<T*> table_{nullptr};
};

}  // namespace forkmend
