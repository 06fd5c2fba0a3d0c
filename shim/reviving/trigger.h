// The first enqueue: the first sign in a child that someone hands work to a lost runtime, or is
// about to wait for one.
//
// Promises: one load while no runtime waits for its first enqueue, which is always so in the first
// ancestor. Nothing happens in a vfork child, inside an allocator, or in what may be a signal
// handler (calls that are allowed there are put off until the next call that is not).
// Does not: take a wait of the child's own for one for the runtime while another of its threads
// could end it.
#pragma once

#include "shim/base/clock.h"
#include "shim/base/compiler.h"
#include "shim/reviving/forkall.h"
#include "shim/reviving/resume.h"
#include "shim/waiting/wait.h"

namespace forkmend::trigger {

void woke(const void* object, const void* caller, bool in_handlers);
void wrote(int fd, const void* caller);
void creates_thread(const void* caller);
void acts_on(pthread_t thread);
void blocks(WaitCall call, const void* object, const void* caller);
// A declared function of the runtime's is being called (declared.h), perhaps in a signal handler.
void on_enqueue(Runtime& r, const void* function, const void* caller);
// A wait without a timeout has lasted kPatience or longer. Brings back what somebody asked to be
// resumed: unasked, a child that waits for SIGTERM would get threads that it never uses.
void still_blocked(Thread& t);

// How long a wait that nothing live could end lasts before lost runtimes are brought back for it:
// longer than a live thread needs to be seen running again, shorter than a person notices.
inline constexpr Nanoseconds kPatience = 50 * kMillisecond;

FORKMEND_INLINE bool any() {
  return FORKMEND_UNLIKELY(resume::pending.load(std::memory_order_relaxed) > 0);
}

// Someone signals a condition variable, posts a semaphore, wakes a futex. `in_handlers`: the call
// is allowed in signal handlers.
FORKMEND_INLINE void on_wake(const void* object, const void* caller, bool in_handlers) {
  if (any()) woke(object, caller, in_handlers);
}
// Someone writes to a descriptor: an eventfd or a pipe to a parked thread.
FORKMEND_INLINE void on_write(int fd, const void* caller) {
  if (any()) wrote(fd, caller);
}
// A library creates a thread: a pool that grows.
FORKMEND_INLINE void on_create(const void* caller) {
  if (any()) creates_thread(caller);
}
// Someone signals or cancels a thread.
FORKMEND_INLINE void on_act(pthread_t thread) {
  if (any()) acts_on(thread);
}
// The calling thread is about to block.
FORKMEND_INLINE void on_block(WaitCall call, const void* object, const void* caller) {
  if (any()) blocks(call, object, caller);
  if (forkall::any()) forkall::blocks(call, object);
}

}  // namespace forkmend::trigger
