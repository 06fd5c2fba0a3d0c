// Locks that threads of registered runtimes hold, and what becomes of them in a child.
//
// Promises: a short list per thread, by address, kept by the thread itself. The parent collects
// what is held at the safepoint (nearly always nothing); on child entry exactly those are reset, so
// that the child's cost does not grow with the number of threads or locks. Each one that was opened
// is reported, with what its owner did at the fork: when the child first takes a lock, since a
// child that execs must not pay for it. Does not: touch a lock that another process can see, or one
// that the forking thread holds.
#pragma once

#include "shim/base/token.h"
#include "shim/threads/thread.h"

namespace forkmend::locks {

FORKMEND_INLINE void push(Thread& t, const void* lock, HeldKind kind) {
  HeldLocks& held = t.held;
  if (FORKMEND_UNLIKELY(held.count >= kHeldSlots)) {
    held.overflow++;
    return;
  }
  held.lock[held.count] = lock;
  held.kind[held.count] = kind;
  held.count++;
}

// Not the one that was taken last, or not in the list.
void pop_from_within(Thread& t, const void* lock);
FORKMEND_INLINE void pop(Thread& t, const void* lock) {
  HeldLocks& held = t.held;
  const int last = held.count - 1;
  if (FORKMEND_LIKELY(last >= 0 && held.lock[last] == lock)) {
    held.count = last;
  } else {
    pop_from_within(t, lock);
  }
}

// Drops entries that another thread unlocked, or whose memory was freed. Only while the gate is
// closed: it asks the kernel for a safe read.
void drop_stale(Thread& t);

// Before the fork, at the safepoint: notes what lost threads will hold.
void collect();

// Child entry: opens what was collected.
void after_fork_child(const ChildEntry&);

// How many locks the child's entry opened.
int opened_at_fork();

// "mutex", "rwlock", "spin".
const char* kind_name(HeldKind kind);

extern FORKMEND_HIDDEN std::atomic<bool> unreported;
void report_opened_at_fork();

// Not on child entry: the first time that a thread of the child takes a lock.
FORKMEND_INLINE void report_pending() {
  if (FORKMEND_UNLIKELY(unreported.load(std::memory_order_relaxed))) report_opened_at_fork();
}

}  // namespace forkmend::locks
