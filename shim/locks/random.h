// The lock around the random numbers that all threads share (random, rand).
//
// No fork resets it: the child of a process in which a thread was inside random() at the fork hangs
// in its first one. random() takes a few nanoseconds, so that noting each call (libc_calls.h) would
// cost a third of it; what it guards may be read at any moment: two positions in a table that wrap
// around each for itself.
// Promises: costs nothing but a look on child entry, which opens the lock. Found at the first
// thread as the word that random, srandom, initstate and setstate all exchange in their first
// instructions (glibc's stdlib/random.c has one static lock for the four); where it cannot be found
// this is off, with a line. Does not: know the lock on machines other than x86_64.
#pragma once

#include "shim/base/token.h"

namespace forkmend::random_lock {

// Once, before the first thread is created.
void probe();

void after_fork_child(const ChildEntry&);

}  // namespace forkmend::random_lock
