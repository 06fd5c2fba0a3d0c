// The entries of a directory, by getdents64: opendir allocates.
#pragma once

#include <cstdint>

#include "shim/base/syscall.h"

namespace forkmend::sys {

// Visits the names in an open directory, "." and ".." among them: bool visit(const char* name) says
// whether to go on.
template <class Visit>
void for_each_entry(int directory, Visit&& visit) {
  struct Entry {  // struct linux_dirent64
    std::uint64_t inode;
    std::int64_t offset;
    unsigned short size;
    unsigned char type;
    char name[];
  };
  alignas(Entry) char buffer[4096] = {};
  for (;;) {
    const long n = call(SYS_getdents64, directory, arg(buffer), sizeof buffer);
    if (n <= 0) return;
    for (long at = 0; at < n;) {
      const auto* entry = reinterpret_cast<const Entry*>(buffer + at);
      if (!visit(static_cast<const char*>(entry->name))) return;
      at += entry->size;
    }
  }
}

}  // namespace forkmend::sys
