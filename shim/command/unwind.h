// Unwinds a captured stack: registers, a copy of the raw stack, and the modules' files.
//
// Promises: terminates on any input; says why it ended before the outermost frame; marks frames
// that were guessed from the frame pointer where a module has no unwind information.
// Does not: name frames (symbols.h).
#pragma once

#include <string>
#include <vector>

#include "shim/command/event.h"
#include "shim/command/module_map.h"

struct unw_cursor;

namespace forkmend::command {

// More frames than any sane program has; a copy of at most a few hundred KiB cannot hold more that
// matter, and damaged bytes must not keep us busy.
inline constexpr std::size_t kMaxFrames = 512;

struct RawFrame {
  Address ip = 0;
  Address sp = 0;
  bool exact = false;    // ip is where the thread was, not where a call returns to
  bool guessed = false;  // found through the frame pointer
  bool signal = false;   // the code to which a signal handler returns
};

struct RawStack {
  std::vector<RawFrame> frames;  // innermost first; the first is the captured ip itself
  std::string ended;             // why the unwinding stopped early; empty: it reached the end
};

// Looks at what `cursor`, at the last of `frames`, says about signals, and marks the frames.
// (The type is libunwind's unw_cursor_t; its header stays out of this one.)
void note_signal(unw_cursor& cursor, std::vector<RawFrame>& frames);

RawStack unwind(const StackCopy& stack, ModuleMap& modules);

}  // namespace forkmend::command
