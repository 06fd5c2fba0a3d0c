// Libraries whose threads never go on in a child: interpreters, and runtimes with a collector that
// knows its threads.
//
// Promises: known by what they export, never by the name of a file. Such a runtime keeps a list of
// its threads, and ends them in the child in its own way or not at all; one that came back would
// find itself missing there.
#pragma once

#include "shim/reporting/modules.h"

namespace forkmend::interpreters {

// Whether the library, or the executable, is one or a module of one that creates threads for it.
bool is_one(const modules::Module& module);

}  // namespace forkmend::interpreters
