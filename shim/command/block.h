// A lockup in words: the one-line form, and the full block.
#pragma once

#include <string>
#include <vector>

#include "shim/command/analysis.h"
#include "shim/command/event.h"
#include "shim/command/output.h"

namespace forkmend::command {

// One row of the list.
std::string list_row(const Event& event, const Style& style);

// The sentence that comes first: who waits for what, and why for ever.
std::string sentence(const Event& event, const Analysis& analysis);

// The whole block. `others`: further events of the same process.
std::string full_block(const Event& event, const Analysis& analysis,
                       const std::vector<const Event*>& others, const Style& style);

// Frames as rows, for a live process and for the block alike.
std::vector<std::string> frame_rows(const NamedStack& stack, std::size_t limit, const Style& style);

// An event that is no lockup: "drain-missed statsig: 2 threads, 50 ms".
std::string other_row(const Event& event);

}  // namespace forkmend::command
