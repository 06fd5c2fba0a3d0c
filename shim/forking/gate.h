// The gate: closed while a fork is under way.
//
// Promises: a thread of a registered runtime stops at the entry of an interposed lock or wait, or
// when one returns, if it holds nothing. It waits with the fork's deadline as its own time-out: no
// helper opens the gate, and a prepare handler of somebody else that needs a gated thread is held
// up no longer than that. Does not: stop a thread that holds a lock, seen or not, or whose caller
// is a memory allocator.
#pragma once

#include "shim/base/clock.h"
#include "shim/base/token.h"
#include "shim/threads/thread.h"

namespace forkmend::gate {

void close(Nanoseconds until);
void open();
// True if threads may pass: nobody forks, or the deadline is over.
bool is_open();

// Whether this thread may be stopped in a call made by `caller`: it holds no lock that we know of.
bool may_stop(Thread& t, const void* caller);

// Forks under way. Read by every lock of a registered thread.
extern FORKMEND_HIDDEN std::atomic<std::uint32_t> closed;

// Stops the calling thread while the gate is closed. Returns with state running.
void stop(Thread& t, const void* caller);
FORKMEND_INLINE void pass(Thread& t, const void* caller) {
  if (FORKMEND_UNLIKELY(closed.load() != 0)) stop(t, caller);
}

// Waits, parked, until the gate is open. The state is `leaving` on return.
void wait_parked(Thread& t);

void after_fork_child(const ChildEntry&);

// A registered thread inside a call that may block: parked while it is blocked.
//   Park park(t, caller);  result = real(...);  park.leave();
class Park {
 public:
  Park(Thread& t, const void* caller);
  // True if the thread counts as parked.
  explicit operator bool() const { return thread_ != nullptr; }
  // The wait is over; stops while the gate is closed.
  void leave();
  // The same for a wait that took a lock: it is given back while the thread stands at the gate.
  template <class Unlock, class Relock>
  void leave_with(Unlock&& unlock, Relock&& relock) {
    if (thread_ == nullptr) return;
    set(ThreadState::leaving);
    while (!is_open()) {
      unlock();
      wait_parked(*thread_);
      set(ThreadState::parked);
      relock();
      set(ThreadState::leaving);
    }
    finish();
  }

 private:
  void set(ThreadState state) { thread_->state.store(state); }
  void finish();
  Thread* thread_;
};

}  // namespace forkmend::gate
