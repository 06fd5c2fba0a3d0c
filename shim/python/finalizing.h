// Whether the interpreter finalises, and which threads must not enter it any more.
//
// Promises: a thread that would enter a finalising or finalised interpreter, or that CPython (up to
// 3.13) makes leave it by pthread_exit, is known before it does. The thread that finalises is not
// one of them, and neither is any thread before the interpreter has started or after it was started
// again. Functions are looked up by name, so that a static python (Debian's) is served as well.
// Does not: see a libpython that is loaded with dlopen, or free-threaded builds, which hang such
// threads by themselves, as 3.14 does.
#pragma once

namespace forkmend::python::finalizing {

// Learns the interpreter's functions, once. From a thread's creation; idempotent.
void prepare();

// True if the calling thread may not enter the interpreter any more. Async-signal-safe.
bool shuts_out_this_thread();

// The same, for a thread that is about to end by pthread_exit called from `caller`: true if that is
// the interpreter's own code, throwing out a thread that came too late.
bool throws_out(const void* caller);

// The calling thread is the one that will finalise: from a handler of Python's atexit.
void begun_here();

// The thread that exits: the one that finalises, else the main thread.
int exiting_tid();

}  // namespace forkmend::python::finalizing
