// Python frames: whose they are, and where the interpreter is now.
//
// Promises: the program's own frame is preferred over one of the standard library, which is only
// the way there (multiprocessing calls os.fork for the program).
#pragma once

#include <cstdint>
#include <string_view>

#include "shim/forking/protocol.h"

namespace forkmend::python::frames {

// True for files of the standard library and for what the interpreter has frozen into itself.
bool is_standard_library(std::string_view file);

// Notes the innermost frame of the program's own, or the innermost at all. With the GIL.
void note_current(forking::Place& place);

}  // namespace forkmend::python::frames
