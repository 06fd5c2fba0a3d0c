// What can be found out about a lockup after it happened: unwound stacks, names, whose code.
//
// Promises: never fails: what cannot be found is empty, and the reason is one of `notes`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "shim/command/event.h"
#include "shim/command/symbols.h"

namespace forkmend::command {

struct NamedStack {
  std::vector<Frame> frames;        // without those of libforkmend.so
  std::vector<PythonFrame> python;  // innermost first
  int your_python = -1;             // index of the first frame that is not of the standard library
  std::string ended;                // why there are no further frames; empty: there are none
};

struct Analysis {
  NamedStack wait;
  struct Lost {
    std::optional<NamedStack> stack;
    std::string creator, start_routine;  // "main orphan.cc:11"; empty: not captured
  };
  std::vector<Lost> lost;            // as in the event
  std::vector<std::string> callers;  // of fork
  std::optional<DataSymbol> object;
  std::string object_frame;  // the function whose frame the object lies in, if it does
  std::vector<std::string> notes;
};

Analysis analyse(const Event& event, const std::string& sysroot);

// Marks which frames are code of libraries that every program waits in (libc, C++, Python,
// forkmend), and the first that is not.
void mark_yours(std::vector<Frame>& frames);
int first_python_of_yours(const std::vector<PythonFrame>& frames);

bool is_interpreter(const std::string& module);

// For people: "threading.py", "gunicorn/arbiter.py", "src/orphan.cc"; the path below the current
// directory if it is there.
std::string short_python_file(const std::string& file);
std::string short_source_file(const std::string& file);

// "orphan+0x12b0"
std::string place(const std::string& module, Address offset);

nlohmann::json frames_json(const NamedStack& stack);

// The event as it was read, with what was found: `frames` beside each stack's bytes (which are left
// out), names beside addresses.
nlohmann::json enriched(const Event& event, const Analysis& analysis);

}  // namespace forkmend::command
