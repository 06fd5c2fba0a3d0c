// Policy rerun: the lost threads of a runtime begin again in the child, each by its start routine,
// with the argument that it was created with, on its own stack and so with its own handle: who
// joins it joins the one that began again.
//
// Promises: as resume (resume.h), which makes the threads: all of a runtime or none. Refused where
// it would be a use after free: where what the argument points to is not what it was when the
// thread was created (wrappers free it first thing, or move from it: Rust, by-value std::thread,
// gRPC), and for the interpreter's own wrapper.
// Does not: know what the start routine does with state that is half way. It is for runtimes that
// were measured with it, and never the default of one that was not.
#pragma once

#include "shim/threads/stacks.h"
#include "shim/threads/thread.h"

namespace forkmend::rerun {

// At the creation of a thread that may have to begin again.
void note_argument(const Thread& t, Stack& s);

// Why it may not, in words for the report; null if it may.
const char* obstacle(const Thread& t, const Stack& s);

}  // namespace forkmend::rerun
