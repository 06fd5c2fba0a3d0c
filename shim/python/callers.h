// Python threads that call into a library whose pool is resumed, and are inside of it at a fork.
//
// They are lost, with the library's own locks that they hold: its pool, made anew, would wait for
// those for ever.
// Promises: where all runtimes with threads have profiles that say so (`callers`), a fork by
// CPython keeps the interpreter's lock and waits until no other Python thread is inside: whoever
// comes out stands at that lock. Bounded by the runtime's deadline; one that misses it is given
// less time at the next fork. Does not: see a thread that another language created, or tell in
// which library a thread computes: one that computes anywhere without the interpreter's lock is
// waited for.
#pragma once

namespace forkmend::python::callers {

// False if there is no such runtime with threads, or if others have some too, which may need the
// interpreter's lock to come to rest.
bool has_to_wait();

// With the interpreter's lock, which is kept; the gate is open. True if nobody is inside now: then
// the interpreter's lock has to be kept until the fork. False if the time is over.
bool wait_until_out();

}  // namespace forkmend::python::callers
