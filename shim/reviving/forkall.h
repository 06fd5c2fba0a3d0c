// Policy forkall: in the child each lost thread that stood in a wait is still standing there, and
// is made anew in place when a live thread wakes what it waits for. As forkall(2) of Solaris, but a
// thread costs nothing until then.
//
// Promises: the object is the evidence, for one thread at a time: a signal or broadcast of that
// condition variable, a post of that semaphore, a wake of that futex word (by any operation, where
// no other process can wait on it), a join, a signal or a cancellation of that thread, contention
// on a lock that it holds while its wait has a time-out, a write to what its epoll set watches. As
// many threads as the call wakes. Time-outs wake nobody: a child that hands nothing over has no
// more threads than without the shim. Put off until libc's fork has returned, or until the next
// call that blocks: what a fork handler or a signal handler wakes. Left alone for good: threads
// whose object is initialised again, and those of which the child creates one anew (same start
// routine and argument). Does not: anything for threads of a runtime with a profile; see Policy.
// Work that the parent had begun is done in both.
#pragma once

#include <pthread.h>

#include <atomic>

#include "shim/base/compiler.h"
#include "shim/base/token.h"
#include "shim/waiting/wait.h"

namespace forkmend {

struct Thread;

namespace forkall {

// Lost threads that may yet go on, or a few more; nearly always 0.
extern FORKMEND_HIDDEN std::atomic<int> pending;

FORKMEND_INLINE bool any() {
  return FORKMEND_UNLIKELY(pending.load(std::memory_order_relaxed) > 0);
}

// A thread of this policy was created; it has ended, or has another policy now.
void began();
void ended();
void leave(Thread& t);

// A live thread wakes at most `wakes` waiters of the object. `in_handlers`: by a call that signal
// handlers may make.
void woke(const void* object, const void* caller, bool in_handlers, int wakes);
// It joins, signals or cancels the thread with this handle.
void acts_on(pthread_t handle);
// It is about to block. Who holds what it blocks on goes on first, and who was put off.
void blocks(WaitCall call, const void* object);
// It creates a thread.
void creates(const void* start, const void* argument);

// A condition variable, mutex or semaphore is initialised.
void initialised(const void* object);
FORKMEND_INLINE void on_init(const void* object) {
  if (any()) initialised(object);
}

void after_fork_child(const ChildEntry&);
// libc's fork has returned in the child: its handlers have run.
void fork_returned();

}  // namespace forkall
}  // namespace forkmend
