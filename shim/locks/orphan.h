// Orphaned locks: held by a lost thread.
//
// Promises: known at once and without a timer, from the owner that glibc records, in the child
// only. Opening keeps type, protocol and attributes. Does not: touch process-shared locks, or judge
// read-write locks held for reading (glibc records no owner there).
#pragma once

#include <pthread.h>

#include "shim/threads/thread.h"

namespace forkmend::locks {

// The lost thread that holds it, or null. Recursive, errorcheck and robust mutexes record their
// owner in the same place.
const Thread* orphan_owner(const pthread_mutex_t* m);
const Thread* orphan_owner(const pthread_rwlock_t* l);

inline bool is_orphan(const pthread_mutex_t* m) { return orphan_owner(m) != nullptr; }

// Opens a mutex whose owner is lost, and says so once with FORKMEND_LOG=info.
void open_orphan(pthread_mutex_t* m);

}  // namespace forkmend::locks
