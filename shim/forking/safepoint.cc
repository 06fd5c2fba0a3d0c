#include "shim/forking/safepoint.h"

#include "shim/base/looks.h"
#include "shim/base/settings.h"
#include "shim/base/syscall.h"
#include "shim/base/text.h"
#include "shim/forking/gate.h"
#include "shim/reporting/event.h"
#include "shim/reviving/by_signal.h"
#include "shim/reviving/resume.h"
#include "shim/runtimes/runtime.h"
#include "shim/threads/kernel_state.h"
#include "shim/threads/thread.h"

namespace forkmend::safepoint {
namespace {

FORKMEND_TLS bool holding;

// Between looks, after the first ones.
constexpr Nanoseconds kPause = 20 * kMicrosecond;

// A runtime that missed the deadline n times in a row gets the deadline halved n times, 1/32 at the
// least: a runtime that never parks must not hold up each fork for the whole second.
constexpr int kMostHalvings = 5;

Nanoseconds allowance(const Runtime& r) {
  const int misses = r.misses.load(std::memory_order_relaxed);
  return r.drain >> (misses < kMostHalvings ? misses : kMostHalvings);
}

// Whether this thread is not waited for any longer. Where a runtime is given more time than others,
// it is to compute in: a thread that sleeps where nobody sees what it waits for (a name look-up of
// libc's) may do so for as long.
bool is_given_up(const Thread& t, ThreadState state, const Runtime& r, Nanoseconds waited) {
  if (waited >= allowance(r)) return true;
  return waited >= settings.drain && state != ThreadState::parked &&
         kernel_state(t.tid.load(std::memory_order_relaxed)) == KernelState::sleeping;
}

// The longest that any runtime with live threads may hold up a fork.
Nanoseconds longest_allowance() {
  Nanoseconds longest = settings.drain;
  runtimes::for_each([&](Runtime& r) {
    if (!runtimes::has_gate(r.policy) || r.live.load(std::memory_order_relaxed) == 0) return;
    if (allowance(r) > longest) longest = allowance(r);
  });
  return longest;
}

bool any_resumes() {
  bool any = false;
  runtimes::for_each([&](Runtime& r) {
    any |= resumes(r.policy) && !r.from_api && r.live.load(std::memory_order_relaxed) > 0;
  });
  return any && resume::possible_here();
}

bool is_gone(const Thread& t, ThreadState state) {
  const int tid = t.tid.load(std::memory_order_relaxed);
  return state == ThreadState::exiting && tid != 0 && !sys::thread_exists(sys::getpid(), tid);
}

// visit(thread, its state, runtime): the state is loaded once, with the rest of its identity; a
// thread that ends meanwhile must not be taken for one that missed the safepoint.
template <class Visit>
void for_each_waited_for(Visit&& visit) {
  Thread* self = threads::self();
  threads::for_each_live([&](Thread& t) {
    const Identity seen = t.state.identity();
    if (!t.registered || &t == self || !threads::is_live(seen)) return true;
    Runtime* r = t.runtime;
    if (r == nullptr || !runtimes::has_gate(r->policy)) return true;
    return visit(t, seen.state(), *r);
  });
}

// One look: true if every thread of a settling runtime waits of its own accord, or is gone. `parks`
// sums how often they parked: the same sum in two looks means that between the two all were parked
// at once.
bool look_settled(std::uint64_t& parks, Nanoseconds waited) {
  bool settled = true;
  parks = 0;
  for_each_waited_for([&](Thread& t, ThreadState state, Runtime& r) {
    if (!r.settle || is_given_up(t, state, r, waited) || is_gone(t, state)) return true;
    parks += t.parks.load() + 1;
    // A thread that was woken but did not run yet looks parked to us, not to the kernel.
    settled = state == ThreadState::parked && !t.gated.load() &&
              kernel_state(t.tid.load(std::memory_order_relaxed)) == KernelState::sleeping;
    return settled;
  });
  return settled;
}

bool needs_settling() {
  bool any = false;
  for_each_waited_for([&](Thread&, ThreadState, Runtime& r) { return !(any = any || r.settle); });
  return any;
}

void settle(Nanoseconds start, Nanoseconds longest) {
  std::uint64_t before = 0, after = 0;
  for (int look = 0;; look++) {
    const Nanoseconds waited = now() - start;
    if (waited >= longest) return;
    if (look_settled(before, waited) && look_settled(after, waited) && before == after) return;
    pause_between_looks(look, kPause);
  }
}

enum class Look : std::uint8_t { reached, unsettled, waiting };

// One look at all threads behind the closed gate.
Look look_parked(Nanoseconds waited) {
  Look result = Look::reached;
  for_each_waited_for([&](Thread& t, ThreadState state, Runtime& r) {
    if (is_given_up(t, state, r, waited) || is_gone(t, state)) return true;
    if (state != ThreadState::parked) {
      result = Look::waiting;
      if (r.signal == 0) return false;
      by_signal::ask(t, waited);
      return true;  // all are asked at once
    }
    if (r.settle && t.gated.load()) {
      result = Look::unsettled;
      return false;
    }
    return true;
  });
  return result;
}

// Runtimes that have a thread which is neither parked nor gone missed this safepoint. Before its
// time is over a runtime cannot have missed it: a thread that is seen leaving its wait here stops
// at the gate before it goes on.
void book_misses(Nanoseconds waited) {
  bool missed[runtimes::kMaxRuntimes] = {};
  bool any = false;
  for_each_waited_for([&](Thread& t, ThreadState state, Runtime& r) {
    if (state != ThreadState::parked && is_given_up(t, state, r, waited) && !is_gone(t, state))
      any = missed[&r - &runtimes::at(0)] = true;
    return true;
  });
  runtimes::for_each([&](Runtime& r) {
    if (missed[&r - &runtimes::at(0)]) {
      report_drain_missed(r, waited, allowance(r));
      r.misses.fetch_add(1, std::memory_order_relaxed);
    } else if (r.misses.load(std::memory_order_relaxed) != 0) {
      r.misses.store(0, std::memory_order_relaxed);
    }
  });
  if (!any && settings.log == Log::info && waited > kMillisecond)
    say("fork waited {} us for its runtimes", waited / kMicrosecond);
}

}  // namespace

bool held_by_this_thread() { return holding; }

void reach() {
  if (holding || runtimes::registered_threads.load() == 0 || settings.drain == 0) return;
  const Nanoseconds start = now();
  by_signal::before_fork();
  // A registered thread that forks counts as parked for the others that do.
  Thread* self = threads::self();
  const ThreadState before = self != nullptr ? self->state.load() : ThreadState::running;
  if (self != nullptr) self->state.store(ThreadState::parked);
  const bool settling = needs_settling();
  const Nanoseconds longest = longest_allowance();
  for (;;) {
    if (settling) settle(start, longest);
    gate::close(start + longest);
    Look seen = Look::waiting;
    Nanoseconds waited = 0;
    for (int look = 0; seen == Look::waiting; look++) {
      waited = now() - start;
      seen = look_parked(waited);
      if (waited >= longest) break;
      if (seen == Look::waiting) pause_between_looks(look, kPause);
    }
    if (seen != Look::unsettled || waited >= longest) {
      book_misses(waited);
      // On a loaded machine little may be left of the time, and libc's part is still to come: a
      // thread that moves in it is lost to a child that resumes.
      if (seen == Look::reached && any_resumes()) gate::keep_closed(now() + settings.drain);
      break;
    }
    gate::open();  // a thread woke up between the two looks: let it finish what it began
  }
  holding = true;
  if (self != nullptr) self->state.store(before);  // a handler may fork on top of a parked wait
}

void close_only() {
  if (holding || runtimes::registered_threads.load() == 0) return;
  gate::close(now() + settings.drain);
  holding = true;
}

void release() {
  if (!holding) return;
  holding = false;
  gate::open();
}

void after_fork_child(const ChildEntry&) { holding = false; }

}  // namespace forkmend::safepoint
