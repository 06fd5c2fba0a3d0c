// The stacks of a live process, with libunwind-ptrace.
//
// Promises: the process is stopped for as long as the unwinding takes and goes on afterwards,
// whatever happens here: the kernel lets it go should this program die.
#pragma once

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
std::vector<LiveThread> live_threads(int pid);

}  // namespace forkmend::command
