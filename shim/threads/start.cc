#include "shim/threads/start.h"

#include "shim/base/syscall.h"
#include "shim/runtimes/runtime.h"
#include "shim/threads/lost.h"
#include "shim/waiting/watch.h"

namespace forkmend::threads {
namespace {

bool is_being_decided(Identity i) {
  return i.state() == ThreadState::deciding || i.state() == ThreadState::awaited;
}

// `seen`: of the record while the other one is at it. A handler may fork on top of this: in the
// child there is no other one, and nobody wakes who was about to sleep.
void wait_until_decided(Thread& t, Identity& seen) {
  constexpr timespec kLook{0, 10 * kMillisecond};
  const Identity whose = seen;
  while (seen.is_same(whose) && is_being_decided(seen) && is_live(seen)) {
    if (seen.state() == ThreadState::deciding && !t.state.change(seen, ThreadState::awaited))
      continue;
    seen = seen.with(ThreadState::awaited);
    sys::futex_wait(t.state.futex(), StateWord::futex_value(seen), &kLook);
    seen = t.state.identity();
  }
}

// The last touch of the record if the thread makes way.
void decide(Thread& t, ThreadState state) {
  if (t.state.exchange(state).state() == ThreadState::awaited) sys::futex_wake_all(t.state.futex());
}

bool stays(Thread& t, pthread_t handle) {
  if (FORKMEND_LIKELY(!watch::needed()) ||
      pass_on(handle, t.may_make_way.load(std::memory_order_relaxed)))
    return true;
  t.handle.store(0);  // it is the lost thread's
  return false;
}

void drop(Thread& t) {
  runtimes::leave(t);
  release(&t);
}

}  // namespace

bool arrive(Thread& t) {
  const pthread_t handle = pthread_self();
  Identity seen = t.state.identity();
  if (FORKMEND_LIKELY(!watch::needed()) && seen.state() == ThreadState::starting) {
    t.handle.store(handle, std::memory_order_relaxed);
    if (t.state.change(seen, ThreadState::running)) return true;
  }
  if (seen.state() == ThreadState::starting && t.state.change(seen, ThreadState::deciding)) {
    t.handle.store(handle, std::memory_order_relaxed);
    const bool mine = stays(t, handle);
    decide(t, mine ? ThreadState::running : ThreadState::makes_way);
    return mine;
  }
  wait_until_decided(t, seen);
  if (seen.state() == ThreadState::makes_way) {
    drop(t);
    return false;
  }
  t.state.store(ThreadState::running);
  return true;
}

bool note_created(Thread& t, Identity created, const pthread_t* handle) {
  Identity seen = created;
  if (t.state.change(seen, ThreadState::deciding)) {
    const pthread_t told = *handle;
    t.handle.store(told, std::memory_order_relaxed);
    if (FORKMEND_UNLIKELY(is_lost(created))) {  // a handler forked meanwhile: this is the child
      lost_handle_noted();
      decide(t, ThreadState::told);
      return true;
    }
    const bool its = stays(t, told);
    decide(t, its ? ThreadState::told : ThreadState::makes_way);
    return its;
  }
  // The thread was first. It may have ended since, and its record be another's.
  wait_until_decided(t, seen);
  if (!seen.is_same(created) || seen.state() != ThreadState::makes_way) return true;
  drop(t);
  return false;
}

}  // namespace forkmend::threads
