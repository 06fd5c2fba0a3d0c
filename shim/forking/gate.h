// The gate: closed while a fork is under way.
//
// Promises: a thread of a registered runtime stops at the entry of an interposed lock or wait, or
// when one returns, if it holds nothing. It waits with the fork's deadline as its own time-out: no
// helper opens the gate, and a prepare handler of somebody else that needs a gated thread is held
// up no longer than that. Does not: stop a thread that holds a lock, seen or not, or whose caller
// is a memory allocator.
#pragma once

#include "shim/base/clock.h"
#include "shim/base/door.h"
#include "shim/base/token.h"
#include "shim/forking/standstill.h"
#include "shim/threads/stacks.h"
#include "shim/threads/thread.h"

namespace forkmend::gate {

// Closed by each fork that waits for the safepoint. Read by every lock of a registered thread.
extern FORKMEND_HIDDEN Door door;

inline void close(Nanoseconds until) { door.close(until); }
inline void keep_closed(Nanoseconds until) { door.keep_closed(until); }
inline void open() { door.open(); }
inline bool is_open() { return door.is_open(); }
inline void after_fork_child(const ChildEntry& entry) { door.after_fork_child(entry); }

// Whether this thread may be stopped in a call made by `caller`: it holds no lock that we know of.
bool may_stop(Thread& t, const void* caller);

// Stops the calling thread while the gate is closed. Returns with state running.
void stop(Thread& t, const void* caller);
FORKMEND_INLINE void pass(Thread& t, const void* caller) {
  if (FORKMEND_UNLIKELY(door.may_be_closed())) stop(t, caller);
}

// Waits, parked, until the gate is open. The state is `leaving` on return.
void wait_parked(Thread& t);

// Stands still, parked, until the gate is open. The state is `parked` on return.
void hold(Thread& t);

// Makes a call from which the thread can go on in a child; see Park::run. The stack is `whole` from
// when its registers are kept until the gate is found open afterwards: a thread that was seen
// parked behind a closed gate and wakes up meanwhile (it was handed a lock) stands still in here,
// so that nothing above this call changes. What the call took it gives back for that time.
template <class Call, class GiveBack, class TakeAgain>
bool resumable(Thread& t, Stack& s, Call& call, GiveBack& give_back, TakeAgain& take_again) {
  struct All {
    Call& call;
    GiveBack& give_back;
    TakeAgain& take_again;
    Thread& thread;
    Stack& stack;
  } all{call, give_back, take_again, t, s};
  const auto function = [](void* argument) {
    All& a = *static_cast<All*>(argument);
    if (FORKMEND_UNLIKELY(a.stack.own_mask_calls)) threads::read_mask(a.stack);
    a.stack.whole.store(true);
    a.thread.state.store(ThreadState::parked);
    a.call();
    a.thread.state.store(ThreadState::leaving);
    while (!is_open()) {
      a.give_back();
      hold(a.thread);
      a.take_again();
      a.thread.state.store(ThreadState::leaving);
    }
    a.stack.whole.store(false);
  };
  return forkmend_save_context_and_call(function, &all, &s.context) == 0;
}

// A registered thread inside a call that may block: parked while it is blocked.
//   Park park(t, caller);  result = real(...);  park.leave();
class Park {
 public:
  FORKMEND_INLINE Park(Thread& t, const void* caller) : thread_(nullptr), standing_(nullptr) {
    if (FORKMEND_UNLIKELY(t.registered)) {
      begin(t, caller);
    } else if (Stack* s = t.stack.load(std::memory_order_relaxed)) {
      if (standstill::may_stand(t, *s, caller)) standing_ = s;
    }
  }
  // True if the thread counts as parked.
  explicit operator bool() const { return thread_ != nullptr; }
  // Makes the call that may block. True when it came to its end; false in a child where the thread
  // was resumed: the call then ended for no reason, and what it would have taken is not taken.
  // give_back() and take_again() are for what the call took.
  template <class Call, class GiveBack, class TakeAgain>
  FORKMEND_INLINE bool run(Call&& call, GiveBack&& give_back, TakeAgain&& take_again) {
    if (standing_ != nullptr) return standstill::resumable(*standing_, call, give_back, take_again);
    Stack* s = thread_ != nullptr ? thread_->stack.load(std::memory_order_relaxed) : nullptr;
    if (FORKMEND_LIKELY(s == nullptr)) {
      call();
      return true;
    }
    return resumable(*thread_, *s, call, give_back, take_again);
  }
  template <class Call>
  FORKMEND_INLINE bool run(Call&& call) {
    return run(
        call, [] {}, [] {});
  }
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
      if (thread_->stack.load(std::memory_order_relaxed) == nullptr) set(ThreadState::parked);
      while (!run(relock, unlock, relock)) {
      }
      set(ThreadState::leaving);
    }
    finish();
  }

 private:
  void begin(Thread& t, const void* caller);
  void set(ThreadState state) { thread_->state.store(state); }
  void finish();
  Thread* thread_;
  Stack* standing_;  // of a thread that nobody waits for
};

}  // namespace forkmend::gate
