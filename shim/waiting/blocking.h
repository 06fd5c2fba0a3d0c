// The frame around every call that may block: the wait record, and the slices in which a child with
// lost threads takes a wait without a timeout.
//
// Promises: a wait that nobody watches costs the stores of its record. A watched wait is taken in
// slices by the thread that waits: no watcher thread (a second thread alone makes every uncontended
// lock 4.7 times slower). What the caller sees is what it would have seen.
// Does not: know libc's functions (the callers pass them) or judge (watch.h does).
#pragma once

#include <errno.h>

#include "shim/base/armed.h"
#include "shim/base/syscall.h"
#include "shim/exiting/exit.h"
#include "shim/forking/protocol.h"
#include "shim/threads/thread.h"
#include "shim/waiting/watch.h"

namespace forkmend::waiting {

// The calling thread's record on the slow path of an interposer, or null where nothing is kept.
// Notices a child that was made behind our back.
FORKMEND_INLINE Thread* enter() {
  if (child_unannounced()) forking::notice_child();
  return threads::self();
}

// Marks the calling thread as blocked for the life of the object. A wait inside a signal handler
// that interrupted another wait is not recorded: the outer one is what the thread is stuck in.
class Blocking {
 public:
  FORKMEND_INLINE Blocking(Thread& t, WaitCall call, const void* object, const void* caller,
                           Timeout timeout = Timeout::none, pthread_mutex_t* mutex = nullptr)
      : thread_(t), active_(is_outermost(t)) {
    if (!active_) return;
    Wait& wait = t.wait;
    wait.object = object;
    wait.caller = caller;
    wait.timeout = timeout;
    wait.mutex = mutex;
    capture_here(wait.registers);
    wait.call.store(call, std::memory_order_release);
    if (FORKMEND_UNLIKELY(exiting::holding.load(std::memory_order_relaxed)) &&
        call != WaitCall::sleep)
      exiting::let_run();
  }
  ~Blocking() {
    if (!active_) return;
    thread_.wait.call.store(WaitCall::none, std::memory_order_relaxed);
    if (FORKMEND_UNLIKELY(exiting::holding.load(std::memory_order_relaxed))) exiting::hold_again();
  }
  Blocking(const Blocking&) = delete;
  Blocking& operator=(const Blocking&) = delete;

 private:
  // A record left behind by a wait that was never returned from (siglongjmp out of a handler, a
  // cancelled thread's cleanup): its frame lay below ours on the stack. Alternate signal stacks lie
  // elsewhere; taking one for such a frame costs the outer record, nothing else.
  FORKMEND_INLINE static bool is_outermost(Thread& t) {
    if (FORKMEND_LIKELY(t.wait.call.load(std::memory_order_relaxed) == WaitCall::none)) return true;
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    constexpr std::uintptr_t kLargestStack = std::uintptr_t{8} << 20;
    if (here - t.wait.registers.sp >= kLargestStack) return false;
    t.state.store(ThreadState::running);
    t.watch.slicing = false;
    return true;
  }

  Thread& thread_;
  const bool active_;
};

// Takes a wait without a timeout. `whole()` waits for ever; `slice(deadline)` waits until an
// absolute CLOCK_MONOTONIC time and returns `timed_out` then. `interrupted` is what the wait
// returns after a signal's handler, or `timed_out` if it goes on. In a process without lost threads
// it is whole(). So it is inside another slice: before glibc 2.34 libc asks for the time through a
// symbol that others interpose, and one that locks for it (libfaketime) would be taken in slices
// without end.
template <class Result, class Whole, class Slice>
FORKMEND_INLINE Result sliced(Thread& t, Result timed_out, Result interrupted, Whole&& whole,
                              Slice&& slice) {
  if (FORKMEND_LIKELY(!watch::needed()) || t.watch.slicing) return whole();
  watch::begin(t);
  for (;;) {
    const timespec deadline = to_timespec(watch::next_look(t));
    t.watch.slicing = true;
    const Result result = slice(deadline);
    t.watch.slicing = false;
    if (result != timed_out) {
      watch::end(t);
      return result;
    }
    if (watch::look(t) && interrupted != timed_out) {
      watch::end(t);
      return interrupted;
    }
  }
}

// A wait that nothing can end and libc would not bear: looks, and looks again.
[[noreturn]] inline void wait_for_ever(Thread& t) {
  watch::begin(t);
  for (;;) {
    const Nanoseconds next = watch::next_look(t);
    const timespec deadline = to_timespec(next);
    while (now() < next)
      sys::call(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, sys::arg(&deadline));
    watch::look(t);
  }
}

}  // namespace forkmend::waiting
