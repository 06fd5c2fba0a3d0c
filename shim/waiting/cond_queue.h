// Threads that wait on a condition variable without a timeout, in a process with lost threads: a
// queue of the shim's own.
//
// The watch has to look at a wait that goes on. Taken in slices of libc's timed wait, a thread is
// nobody's waiter between two of them, from the moment when the time is up until it has the mutex
// and waits again: a signal then is lost, or, if each slice is handed to the caller, the wait ends
// though nobody signalled. In this queue it stays from before the mutex is given away until it is
// called, whatever it does meanwhile.
//
// Promises: pthread_cond_wait as POSIX has it, a cancellation point; it ends for a signal or a
// broadcast made after it gave the mutex away, and for nothing else; who waits longest is called
// first. A signal to a thread that is cancelled goes to another. The mutex is not held while the
// watch looks.
// Does not: see signals that do not come through the interposed calls (libc's function taken from
// libc by dlsym: of such a one nothing is known anywhere in here); hold waits with a timeout or on
// process-shared objects: those are libc's, which signal() leaves to the caller.
#pragma once

#include <pthread.h>
#include <semaphore.h>

#include <atomic>
#include <cstdint>

#include "shim/base/token.h"

namespace forkmend {

struct Thread;

// In each thread's record. Records stay readable, so that who calls may touch it after the thread
// has gone on.
struct CondWaiter {
  std::atomic<const void*> cond;  // null: in no queue
  std::uint32_t generation;       // of the process in whose queue it is
  bool by_signal;                 // called by a signal, which is for one thread; else a broadcast
  std::uint64_t arrival;          // who comes later has a larger one
  CondWaiter* next;
  sem_t called;  // only wakes: `cond` says whether it was called
};

namespace cond_queue {

// The calling thread, `t`, gives the mutex away and waits. 0, or an error of the mutex.
int wait(Thread& t, pthread_cond_t* c, pthread_mutex_t* m);

// True if a thread was called that waits here. As async-signal-safe as libc's: not at all.
bool signal(pthread_cond_t* c);
void broadcast(pthread_cond_t* c);

void after_fork_child(const ChildEntry&);

}  // namespace cond_queue
}  // namespace forkmend
