// A write that the program did not ask for: to stderr, or of an event.
//
// Promises: no signal comes of it, of a closed pipe (SIGPIPE), of a limit on file sizes (SIGXFSZ)
// or of a terminal that is another's (SIGTTOU); one that the program has pending by its own doing
// stays pending. Async-signal-safe. Does not: ask whether the descriptor takes anything, or write
// the rest of what was taken in part.
#pragma once

#include <cstddef>

namespace forkmend::sys {

// The number of bytes written, or -errno.
long write_unasked(int fd, const void* text, std::size_t size);

}  // namespace forkmend::sys
