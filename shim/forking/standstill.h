// Threads that nobody waits for at a fork, and that can yet go on in the child: those that stand in
// a wait, and wake from none while the fork is under way.
//
// Promises: a fork waits for none of them. A thread in a wait has its registers kept; if the wait
// ends while a fork is under way it stands still until that is over, at most kLongest, so that its
// stack and its thread-local storage are whole in the child. Whoever was seen outside of a wait is
// lost there, as without the shim. It costs a wait two stores and a fork one look at each thread.
// Does not: hold up a thread that enters a lock, or one that has not been given a stack of the
// shim's own.
#pragma once

#include <atomic>
#include <cstdint>

#include "shim/base/clock.h"
#include "shim/base/compiler.h"
#include "shim/base/token.h"
#include "shim/threads/stacks.h"
#include "shim/threads/thread.h"

namespace forkmend::standstill {

// A fork that takes longer, in somebody's handler or in the kernel, leaves nobody who can go on.
inline constexpr Nanoseconds kLongest = kSecond;

// Forks under way. Read when a wait ends.
extern FORKMEND_HIDDEN std::atomic<std::uint32_t> under_way;

// In libc's handlers of a fork, as late as possible before it and as early as possible after.
void before_fork();
void after_fork_parent();
void after_fork_child(const ChildEntry&);

// In a child: whether the lost thread stood still while it was forked.
bool stood(const Stack& stack);

// Waits until no fork is under way. False if that took too long: then it stands still no longer.
bool hold();

// Whether the thread may stand in a wait that it entered from `caller`: it is in no other wait, and
// in nothing that it cannot be taken out of.
bool may_stand(const Thread& t, const Stack& s, const void* caller);

// Makes the call that may block. True when it came to its end; false in a child where the thread
// goes on: the call then ended for no reason. What it took it gives back while it stands still.
template <class Call, class GiveBack, class TakeAgain>
bool resumable(Stack& s, Call& call, GiveBack& give_back, TakeAgain& take_again) {
  struct All {
    Call& call;
    GiveBack& give_back;
    TakeAgain& take_again;
    Stack& stack;
  } all{call, give_back, take_again, s};
  const auto function = [](void* argument) {
    All& a = *static_cast<All*>(argument);
    a.stack.standing.store(Standing::waiting, std::memory_order_release);
    a.call();
    // Stored before the look, as a fork stores before it looks (Dekker): one of the two sees it.
    a.stack.standing.store(Standing::leaving);
    while (FORKMEND_UNLIKELY(under_way.load() != 0)) {
      a.give_back();
      const bool over = hold();
      a.take_again();
      if (!over) break;
    }
    a.stack.standing.store(Standing::no, std::memory_order_release);
  };
  return forkmend_save_context_and_call(function, &all, &s.context) == 0;
}

}  // namespace forkmend::standstill
