// Static initialisers of C++ functions that are being run (`static T x = f();`).
//
// Promises: a thread inside one is never stopped at the gate, since others may wait for it. In a
// child, one that a lost thread left half run is known at once: the wait for it is recorded and
// proved like one for an orphaned lock, or with FORKMEND_ORPHANS=reset the initialiser is run anew
// (what the lost thread had made of the object is left behind). Parameters and results are those of
// the Itanium C++ ABI, 3.3.3.
// Does not: see initialisers of objects that carry a C++ runtime of their own, statically linked.
#pragma once

#include "shim/threads/thread.h"

namespace forkmend::initialisers {

// The word that the compiler puts beside the object: its first byte is 1 when it is done.
using Guard = std::uint64_t;

int acquire(Guard* guard, const void* caller);
void release(Guard* guard);
void abort(Guard* guard);

// The lost thread that was inside, or null.
const Thread* left_by(const void* guard);

}  // namespace forkmend::initialisers
