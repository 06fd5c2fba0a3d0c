// Condition variables, barriers and read-write locks that count waiters who did not survive the
// fork.
//
// libc keeps the number of waiters inside the object: a signal goes to one that does not exist,
// destroy waits for it to leave, a read-write lock is handed over to it.
// Promises: put right at the first use in the child, before a thread of the child can wait there;
// always, once for each object and process. Private objects only, by attribute and by mapping. A
// condition variable is as new; of a barrier, threads that had come count as having come, and as
// gone from it; a read-write lock keeps its holder. One look into a table where nothing is to be
// done; of read-write locks a child may use 4,096.
// Does not: touch what the forking thread itself waits on (a fork in a signal handler).
#pragma once

#include <pthread.h>

#include "shim/base/token.h"
#include "shim/waiting/watch.h"

namespace forkmend::locks {

void put_right(pthread_cond_t* c);
void put_right(pthread_barrier_t* b);
void put_right_waiters(pthread_rwlock_t* l);

FORKMEND_INLINE void forget_lost_waiters(pthread_cond_t* c) {
  if (watch::needed()) put_right(c);
}
FORKMEND_INLINE void forget_lost_waiters(pthread_barrier_t* b) {
  if (watch::needed()) put_right(b);
}
FORKMEND_INLINE void forget_lost_waiters(pthread_rwlock_t* l) {
  if (watch::needed()) put_right_waiters(l);
}

void lost_waiters_after_fork_child(const ChildEntry&);

}  // namespace forkmend::locks
