// The report file of this process: JSON Lines, one event a line.
//
// Promises: opened for each event, with raw system calls; its name carries pid, start time,
// pid-namespace inode (containers are pid 1 every time), and a random number, so that nobody can
// have taken it before. Directory: FORKMEND_DIR, else forkmend/ in XDG_RUNTIME_DIR, else a 0700
// directory of the user's under TMPDIR or /tmp; else none. Never follows a link there, never waits
// for a FIFO or a device, never writes into a file that it did not make itself, nor into a
// directory that others could put files into (another user's but root's; writable for everybody
// without the sticky bit): what is refused is said on stderr once, by the first lockup that it
// costs. Threads may write side by side; runs on a stack of the shim's own (base/own_stack.h).
#pragma once

#include <string_view>

#include "shim/reporting/json.h"

namespace forkmend::report_file {

// Writes one line (newline included) with a single write(). False if there is nowhere to write;
// why is said if it is a lockup's.
bool write_line(std::string_view line, bool is_lockup = false);

// Begins an event: {"schema":1,"event":…,"time":…,…,"process":{…}; the caller adds fields and
// closes.
void begin_event(Json& json, std::string_view event);

}  // namespace forkmend::report_file
