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

// A lock that a thread held when another one forked.
struct Collected {
  void* lock;
  const Thread* owner;
  int tid;
  HeldKind kind;
  bool inside;  // the owner may have been half way through what the lock guards
};

// At the safepoint nearly every list is empty; a thread that missed the deadline holds a few. What
// finds no room stays locked, and is an orphan like those of threads that nobody registered.
inline constexpr int kMostCollected = 256;

// What a fork found held: part of the fork's own state (forking/fork.h), on a stack that may be
// small. A few have room in it, more on a mapping of their own. All bytes zero: empty.
class Collection {
 public:
  void add(const void* lock, const Thread& owner, HeldKind kind, bool inside);
  int count() const { return count_; }
  const Collected& operator[](int i) const { return many_ != nullptr ? many_[i] : few_[i]; }
  // Gives the mapping back.
  void clear();

 private:
  static constexpr int kFew = 4;
  int count_ = 0;
  Collected few_[kFew];  // unset, as far as `count_`
  Collected* many_ = nullptr;
};

// Before the fork, at the safepoint: notes what lost threads will hold.
void collect(Collection& held);

// Child entry: opens what this fork collected (null: nothing is known).
void after_fork_child(const ChildEntry&, const Collection* held);

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
