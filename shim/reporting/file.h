// The report file of this process: JSON Lines, one event a line.
//
// Promises: opened for each event, with raw system calls; its name carries pid, start time and
// pid-namespace inode (containers are pid 1 every time). Directory: FORKMEND_DIR, else forkmend/ in
// XDG_RUNTIME_DIR, else a 0700 directory of the user's under TMPDIR or /tmp; else none. Never
// follows a link there, never writes into a directory of another user's.
#pragma once

#include <string_view>

#include "shim/reporting/json.h"

namespace forkmend::report_file {

// Writes one line (newline included) with a single write(). False if there is nowhere to write.
bool write_line(std::string_view line);

// Begins an event: {"schema":1,"event":…,"time":…,…,"process":{…}; the caller adds fields and
// closes.
void begin_event(Json& json, std::string_view event);

}  // namespace forkmend::report_file
