// Locks that a child inherits locked.
//
// Orphaned: held by a lost thread. Known at once and without a timer, from the owner that glibc
// records. Inherited: held by the thread that forked; libc's lock still carries the tid that it had
// in the parent, so that the child's own unlock is refused (EPERM) and its next lock waits for
// ever.
//
// Promises: examine() tells what a thread that found the lock taken should do, after it has put
// right what can be: an inherited lock goes to its thread, always; an orphan is opened with
// FORKMEND_ORPHANS=reset. Type, protocol and attributes are kept. Safe from several threads at
// once. Does not: touch a lock that another process can see (by its attribute or by its mapping),
// or judge read-write locks held for reading (glibc records no owner there; see held.h).
#pragma once

#include <pthread.h>

#include "shim/base/real.h"
#include "shim/locks/layout.h"
#include "shim/threads/thread.h"

namespace forkmend::locks {

// The lost thread that holds it, or null. Recursive, errorcheck and robust mutexes record their
// owner in the same place.
const Thread* orphan_owner(const pthread_mutex_t* m);
const Thread* orphan_owner(const pthread_rwlock_t* l);

inline bool is_orphan(const pthread_mutex_t* m) { return orphan_owner(m) != nullptr; }

enum class Contended : std::uint8_t {
  wait,      // by a live thread, or by an orphan that is left as it is
  retry,     // it was put right
  hopeless,  // an orphan that libc would not wait for: it asserts that a PI mutex has an owner
};

// For the calling thread, which found it taken, in a process with lost threads.
Contended examine(pthread_mutex_t* m);
Contended examine(pthread_rwlock_t* l);

// Right before the calling thread unlocks it (or waits on a condition variable with it): what it
// held at the fork is its own here too.
inline void claim(Thread& t, pthread_mutex_t* m) {
  const int owner = layout::mutex_owner(m);
  const int tid = t.tid.load(std::memory_order_relaxed);
  if (FORKMEND_LIKELY(owner == tid) || !layout::mutex_checks_owner(m)) return;
  examine(m);
}
inline void claim(Thread& t, pthread_rwlock_t* l) {
  const int writer = layout::rwlock_writer(l);
  if (writer != 0 && writer != t.tid.load(std::memory_order_relaxed)) examine(l);
}

// In a thread that goes on in a child, right after its wait on a condition variable: takes the
// mutex, unless it had it back already when it stood still.
inline void take_back(const Thread& t, pthread_mutex_t* m) {
  if (layout::mutex_known() && layout::looks_locked(m) &&
      threads::has_been(t, layout::mutex_owner(m))) {
    examine(m);
    if (layout::mutex_owner(m) == t.tid.load(std::memory_order_relaxed)) return;
  }
  real().pthread_mutex_lock(m);
}

}  // namespace forkmend::locks
