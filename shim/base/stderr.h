// A line or a block on stderr.
//
// Promises: one write(), whole in a pipe, without stdio. Never waits longer than kStderrPatience
// for a reader that does not read (a stopped terminal, a full pipe): signals may be held meanwhile,
// and a process must end when it is told to. Never raises SIGPIPE. What cannot be written is
// dropped.
#pragma once

#include <string_view>

#include "shim/base/clock.h"

namespace forkmend {

inline constexpr Nanoseconds kStderrPatience = 100 * kMillisecond;

// At most 4,096 bytes (PIPE_BUF). Async-signal-safe.
void write_to_stderr(std::string_view text);

}  // namespace forkmend
