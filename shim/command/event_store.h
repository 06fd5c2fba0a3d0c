// Report directories and files.
//
// Promises: whatever is wrong with one line or file is one problem, and no other line is lost.
#pragma once

#include <string>
#include <vector>

#include "shim/command/event.h"

namespace forkmend::command {

struct Reports {
  std::vector<Event> events;          // by time
  std::vector<std::string> problems;  // "file:line: what, what to do"
};

// FORKMEND_DIR, else the user's runtime directory, else one under the temporary directory; as the
// shared object chooses it.
std::string report_directory();

// Why `directory` must not be trusted or cannot be read; empty if all is well, or it is not there.
std::string directory_problem(const std::string& directory);

// Reads a report file, or all *.jsonl files of a directory. A path that does not exist is a
// problem.
Reports read_reports(const std::string& path);

}  // namespace forkmend::command
