#include "shim/forking/gate.h"

#include "shim/locks/held.h"
#include "shim/python/bridge.h"
#include "shim/reporting/modules.h"

namespace forkmend::gate {

FORKMEND_SAME_PAGE constinit Door door;

bool may_stop(Thread& t, const void* caller) {
  if (t.held.count > 0 && door.may_be_closed()) locks::drop_stale(t);
  return t.held.count == 0 && t.held.overflow == 0 &&
         t.invisible.load(std::memory_order_relaxed) == 0 &&
         t.libc_call.frame.load(std::memory_order_relaxed) == nullptr &&
         !modules::is_in_allocator(caller) && !python::is_inside(caller);
}

void hold(Thread& t) {
  t.gated.store(true);
  t.parks.fetch_add(1, std::memory_order_relaxed);
  t.state.store(ThreadState::parked);
  door.wait();
  t.gated.store(false);
}

void wait_parked(Thread& t) {
  t.gated.store(true);
  t.parks.fetch_add(1, std::memory_order_relaxed);
  Stack* s = t.stack.load(std::memory_order_relaxed);
  if (s == nullptr) {
    t.state.store(ThreadState::parked);
    door.wait();
  } else {
    const auto nothing = [] {};
    const auto wait = [] { door.wait(); };
    resumable(t, *s, wait, nothing, nothing);  // in a child it is open
  }
  t.state.store(ThreadState::leaving);
  t.gated.store(false);
}

void stop(Thread& t, const void* caller) {
  if (is_open() || t.state.load(std::memory_order_relaxed) != ThreadState::running) return;
  if (!may_stop(t, caller)) return;
  do {
    wait_parked(t);
  } while (!is_open());
  t.state.store(ThreadState::running);
}

void Park::begin(Thread& t, const void* caller) {
  if (t.state.load(std::memory_order_relaxed) != ThreadState::running) return;
  if (!may_stop(t, caller)) return;
  thread_ = &t;
  t.parks.fetch_add(1, std::memory_order_relaxed);
  // One that can be resumed is parked when its registers are kept: in run().
  if (t.stack.load(std::memory_order_relaxed) == nullptr) set(ThreadState::parked);
}

void Park::finish() { set(ThreadState::running); }

void Park::leave() {
  leave_with([] {}, [] {});
}

}  // namespace forkmend::gate
