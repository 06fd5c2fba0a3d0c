// Threads that are kept from what is left of a process that exits.
//
// Promises: park() never returns and unwinds nothing: no destructor, no drop, no cleanup handler
// runs in a thread that would end in a crash. What it held is not lost for the thread that exits: a
// mutex that it holds is opened, a join of it returns, within FORKMEND_EXIT_MS, and the report
// says so. The parked threads look by themselves; there is no watcher thread.
// Does not: open a lock without a known owner (semaphores, Rust's and Go's own) unless the parked
// thread's stack refers to it; judge a wait that ends.
#pragma once

#include <pthread.h>

#include <atomic>

#include "shim/base/compiler.h"

namespace forkmend::exiting {

// Parks the calling thread for the rest of the process's life. It may hold anything.
[[noreturn]] void park();

// Threads parked so far, in this process.
extern FORKMEND_HIDDEN std::atomic<int> parked;

FORKMEND_COLD void end_for_join(pthread_t thread);

// Somebody is about to join `thread`: if it is parked it ends here and now, without unwinding.
FORKMEND_INLINE void before_join(pthread_t thread) {
  if (FORKMEND_UNLIKELY(parked.load(std::memory_order_relaxed) != 0)) end_for_join(thread);
}

// A thread ends by pthread_exit, called from `caller`: returns unless it has to be parked.
void before_thread_exit(const void* caller);

}  // namespace forkmend::exiting
