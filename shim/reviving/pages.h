// What is done to many ranges of this process's memory at once, before threads are made anew there.
//
// Promises: one system call for many ranges, and one flush of the CPU's address cache, where the
// kernel takes them together (Linux 6.14); one each elsewhere. Pages that are shared with the
// parent are made ready by the one thread there is: with several every such page interrupts the
// other CPUs. Does not: fail. What the kernel refuses is done page by page when it is written to.
#pragma once

#include <sys/mman.h>
#include <sys/uio.h>

#include <cstddef>

#ifndef MADV_POPULATE_WRITE     // bullseye's headers
#define MADV_POPULATE_WRITE 23  // Linux 5.14
#endif

namespace forkmend::pages {

inline constexpr std::size_t kPage = 4096;

class Ranges {
 public:
  // `advice` as for madvise: MADV_DONTNEED or MADV_POPULATE_WRITE.
  explicit Ranges(int advice) : advice_(advice) {}
  ~Ranges() { apply(); }
  Ranges(const Ranges&) = delete;
  Ranges& operator=(const Ranges&) = delete;

  // The pages that [from, to) touches; one range with the one added before, where they meet.
  void add(const char* from, const char* to);
  void apply();

 private:
  static constexpr int kMost = 128;  // 2 KiB on the stack of whoever triggers

  int advice_;
  int count_ = 0;
  iovec range_[kMost];
};

}  // namespace forkmend::pages
