// The stacks of a live process, with libunwind-ptrace.
//
// Promises: the process is stopped for as long as the unwinding takes and goes on afterwards,
// whatever happens here: the kernel lets it go should this program die.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "shim/command/analysis.h"

namespace forkmend::command {

struct LiveThread {
  int tid = 0;
  std::string name;
  NamedStack stack;
};

// The main thread first. Throws UserError if the process cannot be traced.
// `stopped`, if given, is raised by the time for which its threads stood still.
std::vector<LiveThread> live_threads(int pid, std::chrono::nanoseconds* stopped = nullptr);

}  // namespace forkmend::command
