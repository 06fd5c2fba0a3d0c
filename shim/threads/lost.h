// What a pthread_t means in a child when it is that of a thread that ran only in the parent.
//
// Promises: every form of join of a lost thread returns at once, with 0 and no result, as it did
// before glibc 2.43 (which waits for ever) and never did for a thread on a stack of the caller's.
// Signals and cancellation give ESRCH, and so does what follows a join or detach.
// Async-signal-safe. The first look in a child of a process with many threads goes through all
// records and notes the handles of the lost ones; what follows costs the same with 10,000 as with
// ten. A handle that libc or the program has given to a new thread since leads to libc. Does not:
// free a lost thread's stack; say anything of a thread that was brought back: it is live again, and
// its handle leads to libc as before.
#pragma once

#include <pthread.h>

#include "shim/base/token.h"
#include "shim/threads/thread.h"

namespace forkmend::threads {

// What became of a lost thread's handle: Thread::of_handle, one word, since a join and the creation
// of a thread may come at once.
enum OfHandle : std::uint8_t {
  kSettled = 1,   // joined or detached
  kKept = 2,      // an ended thread keeps it taken (apart.h)
  kPassedOn = 4,  // a new thread has it, or had
};

// The lost thread that has this handle, or null: there is none, or a thread of this process has it.
Thread* lost_with_handle(pthread_t handle);

// A new thread has got this handle. False: a lost thread that was neither joined nor detached has
// it, and the newcomer may make way. Else it is the newcomer's from now on.
bool pass_on(pthread_t handle, bool may_make_way);

// A lost thread's handle became known in the child.
void lost_handle_noted();

void lost_handles_after_fork_child(const ChildEntry&);

// For a function that acts on a thread: ESRCH if it is lost (and cannot be resumed for it), 0 if
// libc is to be asked.
int refuse_lost(pthread_t handle);

// A join, or a detach. True: the thread is lost, `error` is the result (0, the second time ESRCH).
bool settle_lost(pthread_t handle, void** result, int& error);

// As pthread_detach. One that is lost and may yet be resumed goes on detached.
int detach(pthread_t handle);

}  // namespace forkmend::threads
