// Python's lost threads: the Python part of the bridge (bridge/*.py), and what it calls.
//
// Promises: nothing is compiled before the first fork of a process with threads; an exception in
// the Python part is reported once and costs the program nothing else; it is never seen by the
// program. All functions need the GIL but explain().
#pragma once

#include "shim/base/text.h"
#include "shim/python/capi.h"

namespace forkmend {
struct Runtime;
}

namespace forkmend::python::lost {

// Around os.fork, in this order. From hold() to release() the calling thread runs no Python code,
// and has the inner locks that before() has chosen; whatever gives the interpreter away comes
// earlier.
void before();
void hold();
void release();  // in parent and child; within fork: no Python code, and no call that needs its
                 // locks
void after_in_parent();
void after_in_child();

// True between before() and the after-step if the fork loses threads of a registered runtime.
bool has_threads_to_cure();

// Why the calling thread's wait can never end, by the Python object that it waits for.
struct Explanation {
  Text<32> cause;
  Text<160> text;
  Text<96> module;  // of the lost thread, for a setting that names it
  int tid;          // of the lost thread, in the process that lost it
  Runtime* runtime;
};
// In a thread that waits with the GIL released: takes it for as long as it looks. The wait could
// not have ended without the GIL either. False if nothing is known. Signals are held (watch.h).
// Where a signal's Python handler is due it is run first; if that raises, nothing is looked at and
// the wait is marked to end with EINTR.
bool explain(Explanation& out);

}  // namespace forkmend::python::lost
