// forkmend profiles learn: runs a program and looks at its threads from outside.
//
// Promises: the program runs as it would without; it is stopped for a few milliseconds at each
// look, a tenth of its time at most. What is printed was seen: which library started which threads,
// where they waited, and what would end such a wait. A runtime that lives for less than one look is
// missed.
// Does not: load the shared object into the program, or try a cure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "shim/command/live.h"

namespace forkmend::command {

// What was seen of the threads that one library started.
struct SeenRuntime {
  std::string library;                 // file name of the object whose code the threads run
  std::string path;                    // and where it lies
  bool program = false;                // that object is the executable itself
  bool interpreter = false;            // they were started by CPython
  std::set<std::pair<int, int>> tids;  // process and thread
  std::map<std::string, int> names;    // thread names, and at how many looks
  std::map<std::string, int> waits;  // "pthread_cond_wait called by libx.so", and at how many looks
  int looks = 0;                     // threads seen, over all looks
  int own_calls = 0;                 // of these: in system calls of the library's own
  int running = 0;
};

// Adds one look at a process. Main threads are left out.
void note_look(int pid, const std::string& executable, const std::vector<LiveThread>& threads,
               std::vector<SeenRuntime>& seen);

// "libx.so*" for "libx-a34b3233.so.1.2", "_x*.so" for "_x.cpython-311-x86_64-linux-gnu.so".
std::string library_pattern(const std::string& library);

// A profile to start from, as TOML.
std::string profile_text(const SeenRuntime& runtime);

// Runs the words until the program ends, or for `seconds` (0: no limit; then it is sent SIGTERM).
// Returns its exit status, as a shell has it.
int learn(const std::vector<std::string>& words, int seconds);

}  // namespace forkmend::command
