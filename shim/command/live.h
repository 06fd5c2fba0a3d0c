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

// A thread that could not be stopped at once stops later: to be called now and then by a program
// that goes on after live_threads(). (The kernel does it when this program ends.)
void let_go_of_late_threads();

}  // namespace forkmend::command
