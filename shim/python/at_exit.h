// The exit phase's place among Python's exit handlers.
//
// Promises: the handler is registered before site and the program run, so it runs after all of
// theirs: handlers of the program's still find every runtime at work. It lets go of the GIL while
// runtimes stop, since their threads may need it to come to an end. Runs in the thread that
// finalises, which is known from then on.
// Does not: run where the program ends without finalising the interpreter (os._exit).
#pragma once

namespace forkmend::python::at_exit {

// With the GIL, in the main interpreter, without an exception set. False, with one set, on failure.
bool install();

}  // namespace forkmend::python::at_exit
