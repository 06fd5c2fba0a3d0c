// The safepoint: the moment at which every thread of the registered runtimes is parked or gone.
//
// Promises: reach() returns within the deadline (FORKMEND_DRAIN_MS), with the gate closed; it costs
// nothing when no runtime is registered and one look at each thread when all are parked. A runtime
// that missed it is reported with its threads and, fork after fork, is given less time.
// Does not: run in a child or in a signal handler that interrupted the shim.
#pragma once

#include "shim/base/token.h"

namespace forkmend::safepoint {

// Closes the gate and waits. Called by the forking thread, before libc takes its own locks.
// Returns at once if this thread holds the gate already (Python's before hook came first).
void reach();

// The calling thread holds the gate closed.
bool held_by_this_thread();

// Closes the gate without waiting (a fork that libc started by itself reaches only its handlers).
void close_only();

// Opens the gate again; nothing if this thread does not hold it.
void release();

void after_fork_child(const ChildEntry&);

}  // namespace forkmend::safepoint
