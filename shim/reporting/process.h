// Facts about this process that a report carries. Raw system calls and /proc only.
#pragma once

#include <cstdint>

#include "shim/base/text.h"

namespace forkmend::process {

// Field 22 of /proc/self/stat: start time in clock ticks since boot.
std::uint64_t start_ticks();
std::uint64_t pid_namespace_inode();
// Reads a small file, newline cut; empty if it cannot be read.
void read_line(const char* path, TextSpan& out);
void executable(TextSpan& out);
void argument_zero(TextSpan& out);

}  // namespace forkmend::process
