// Signals whose handlers cannot end a wait: the reserved one, and SIGINT while CPython has it.
//
// Promises: what CPython's own SIGINT handler would do is known in a child without asking the
// interpreter, and an answer that is out of date errs towards "the program handles it".
// Does not: change what any handler does.
#pragma once

namespace forkmend::python::signals {

// The signal on which faulthandler is registered. Nobody sends it: it is the way by which CPython
// hands out its traceback writer. The last few real-time signals are the least used ones: libc
// takes them from the bottom, programs count from SIGRTMIN up, and valgrind has the last.
int reserved_signal();

// In the parent, with the GIL: marks CPython's SIGINT handler if it only raises KeyboardInterrupt.
void note_interrupt_handler();

// True if the handler marked last is still in place, and nothing was installed over it since.
bool interrupt_is_pythons();

}  // namespace forkmend::python::signals
