// Python's signal handlers that are due while a thread waits.
//
// The interpreter runs them in its main thread, between two bytecodes: so in whatever code comes
// next, which would be the bridge's own if it looked at a wait that a signal is about to end.
// Promises: they run before that, and what they raise reaches the program, not the bridge.
#pragma once

namespace forkmend::python::handlers {

// Runs those that are due; nothing in other threads than the main one. False if one raised: the
// exception is kept, and raised by the interpreter when the wait has ended with EINTR. With the
// GIL, without an exception set, signals held.
bool run_due();

}  // namespace forkmend::python::handlers
