// Work handed to a lost runtime since the fork: the evidence without which a wait is not called
// a lockup.
//
// Promises: note_signal() keeps, per thread, the last objects it signalled (in the parent: a few
// stores). In a process with lost threads note() tells whether the object is one that a lost thread
// was parked on, or the call comes from the library whose threads were lost; constant time but for
// the first call.
#pragma once

#include "shim/base/token.h"
#include "shim/threads/thread.h"

namespace forkmend::handover {

// The calling thread signals a condition variable, posts a semaphore or wakes a futex.
// `in_handlers`: by a call that signal handlers may make; `wakes`: how many waiters at most.
inline constexpr int kAll = 0x7fffffff;
void note(const void* object, const void* caller, bool in_handlers, int wakes = 1);
// It writes to a descriptor: eight bytes are an eventfd's wake-up.
void note_write(int fd, std::size_t size, const void* caller);
// A function of the runtime's that its profile names was called, and its threads are still lost.
void note_enqueue(Runtime& r, const void* function);

// What was handed over since the fork, the first of it.
struct Evidence {
  const void* object;
  const Thread* lost;      // the lost thread that was parked on it, or null
  const Runtime* runtime;  // the lost runtime
  Nanoseconds when;
};
// Null if nothing was.
const Evidence* first();

// The lost thread that signalled `object` last before the fork, or null.
const Thread* lost_signaller(const void* object);
// An object that lost threads were parked on at the fork.
struct LostWait {
  const void* object;
  const Thread* thread;         // one of them
  std::atomic<bool> forgotten;  // the object does not count them any more (locks/lost_waiters.h)
};
// Null if no lost thread was parked on it.
LostWait* lost_wait(const void* object);
// Null also if it was resumed since.
inline const Thread* lost_waiter(const void* object) {
  const LostWait* wait = lost_wait(object);
  return wait != nullptr && threads::is_lost(*wait->thread) ? wait->thread : nullptr;
}

void after_fork_child(const ChildEntry&);

}  // namespace forkmend::handover
