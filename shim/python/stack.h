// Python stacks, by faulthandler's handler.
//
// Promises: the frames of the calling thread, wherever it waits, with the GIL or without it, and
// without any call of the interpreter's that could lock or allocate.
// Does not: hold a descriptor open meanwhile, send a signal, or use a handler that is not the one
// it registered.
//
// faulthandler.register() makes CPython install a C function as a signal's handler and remember a
// descriptor number. That function writes the calling thread's frames with plain write() calls, and
// the kernel tells its address: it is called directly, so that no signal has to be let through. The
// descriptor is opened at that number for the moment of the call and closed after it, so that
// nothing is inherited, counted or closed by a program that looks at its descriptors.
#pragma once

#include <cstdint>
#include <string_view>

#include "shim/python/bridge.h"
#include "shim/reporting/json.h"

namespace forkmend::python::stack {

// Registers with faulthandler, once. In the parent, with the GIL: a child's report comes too late.
void prepare();

// True while the function that was registered is the reserved signal's handler.
bool registered();

// See bridge.h.
void read(Frames& out);
void write(Json& json, const Frames& frames);

}  // namespace forkmend::python::stack
