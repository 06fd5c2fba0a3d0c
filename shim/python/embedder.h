// A fork by an embedder that does not tell the interpreter: uWSGI's master calls libc's fork, from
// a thread of Python's that has released the GIL.
//
// Two things are wrong with that. The GIL may be in the hands of a thread that does not survive,
// and the child waits for it for ever. And no at-fork hook runs. Where a fork would lose threads
// that are to come back, it is made as the C API's documentation asks: with the GIL held, between
// PyOS_BeforeFork and PyOS_AfterFork_Parent or PyOS_AfterFork_Child.
//
// Does not: touch forks by the interpreter itself (os.fork has told it; subprocess execs), by
// threads that hold the GIL, or in processes without a runtime that is to come back.
#pragma once

namespace forkmend::python::embedder {

// In the forking thread, before the safepoint: may wait for the GIL.
void before();
void after_parent();
void after_child();

}  // namespace forkmend::python::embedder
