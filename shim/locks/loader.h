// The loader's lock around dl_iterate_phdr, which fork never resets.
//
// Who was inside dl_iterate_phdr at the fork keeps it: the child hangs in the next one, and on
// glibc before 2.35 in every C++ throw and backtrace as well. Promises: found at
// the first thread, by what a call of dl_iterate_phdr changes inside the loader's own data; on
// child entry opened if its owner is lost, handed on if the forking thread is inside itself. Where
// it cannot be found this is off, with a line. Does not: repair the list that the lock guards:
// dl_iterate_phdr only reads it.
#pragma once

#include "shim/base/token.h"

namespace forkmend::loader {

// Once, before the first thread is created.
void probe();

// Child entry, while the records still have the parent's tids.
void after_fork_child(const ChildEntry&, int tid);

}  // namespace forkmend::loader
