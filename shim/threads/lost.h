// What a pthread_t means in a child when it is that of a thread that ran only in the parent.
//
// Promises: every form of join of a lost thread returns at once, with 0 and no result, as it did
// before glibc 2.43 (which waits for ever) and never did for a thread on a stack of the caller's.
// Signals and cancellation give ESRCH, and so does what follows a join or detach.
// Async-signal-safe: a look at each record. Does not: free a lost thread's stack; say anything of a
// thread that was brought back: it is live again, and its handle leads to libc as before.
#pragma once

#include <pthread.h>

#include "shim/threads/thread.h"

namespace forkmend::threads {

// The lost thread that has this handle, or null: there is none, or a live thread has it.
Thread* lost_with_handle(pthread_t handle);

// For a function that acts on a thread: ESRCH if it is lost (and cannot be resumed for it), 0 if
// libc is to be asked.
int refuse_lost(pthread_t handle);

// A join, or a detach. True: the thread is lost, `error` is the result (0, the second time ESRCH).
bool settle_lost(pthread_t handle, void** result, int& error);

// As pthread_detach. One that is lost and may yet be resumed goes on detached.
int detach(pthread_t handle);

}  // namespace forkmend::threads
