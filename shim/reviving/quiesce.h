// Policy quiesce: the runtime's own pause, called before fork.
//
// For libgomp, which has omp_pause_resource_all() (OpenMP 5.0, 3.2.45; GCC 9): the calling thread's
// pool ends its threads, joined, and is made anew at its next parallel region, in the parent as in
// the child. Pools of other threads are left alone: their masters do not survive either.
// Promises: called by the forking thread, before the gate closes, with none of the shim's locks
// held. Costs a call where the thread has no pool; else what ending and making its threads costs.
// Does not: pause a fork inside of a parallel region (the runtime refuses: reported).
#pragma once

#include "shim/runtimes/runtime.h"

namespace forkmend::reviving {

// A runtime of policy quiesce was recognised: finds its pause. Without one (libgomp before GCC 9)
// that is reported, and its policy becomes `report`.
void prepare_quiesce(Runtime& runtime);

// In the parent, before fork.
void quiesce();

}  // namespace forkmend::reviving
