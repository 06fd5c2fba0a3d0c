// Adopted locks: those a runtime names through the API.
//
// Promises: the shim keeps a copy of each as it was when adopted (freshly initialised) and puts
// that back on child entry: no knowledge of libc's layout is needed, a condition variable forgets
// waiters that do not exist, a semaphore has its first value. A mutex that the forking thread holds
// stays held. Cost in the child: a copy for each adopted lock of a runtime that lost threads. Does
// not: destroy anything (cpython#19195: re-initialise and leak).
#pragma once

#include "include/forkmend/forkmend.h"
#include "shim/base/token.h"

namespace forkmend {
struct Runtime;
}

namespace forkmend::locks {

// Returns 0, EBUSY, EINVAL or ENOSPC as the public header says.
int adopt(Runtime* runtime, forkmend_lock_kind kind, void* lock);
void forget(Runtime* runtime);

void adopted_after_fork_child(const ChildEntry&);

}  // namespace forkmend::locks
