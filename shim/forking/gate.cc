#include "shim/forking/gate.h"

#include "shim/base/syscall.h"
#include "shim/locks/held.h"
#include "shim/python/bridge.h"
#include "shim/reporting/modules.h"

namespace forkmend::gate {

FORKMEND_SAME_PAGE std::atomic<std::uint32_t> closed{0};

namespace {

FORKMEND_SAME_PAGE std::atomic<Nanoseconds> until{0};

void wait_until_open() {
  for (;;) {
    const std::uint32_t forks = closed.load();
    const Nanoseconds left = until.load() - now();
    if (forks == 0 || left <= 0) break;
    const timespec timeout = to_timespec(left);
    sys::futex_wait(&closed, forks, &timeout);
  }
}

}  // namespace

void keep_closed(Nanoseconds deadline) {
  Nanoseconds seen = until.load();
  while (seen < deadline && !until.compare_exchange_weak(seen, deadline)) {
  }
}

void close(Nanoseconds deadline) {
  keep_closed(deadline);
  closed.fetch_add(1);
}

void open() {
  if (closed.fetch_sub(1) != 1) return;
  until.store(0);
  sys::futex_wake_all(&closed);
}

bool is_open() { return FORKMEND_LIKELY(closed.load() == 0) || now() >= until.load(); }

bool may_stop(Thread& t, const void* caller) {
  if (t.held.count > 0 && closed.load(std::memory_order_relaxed) != 0) locks::drop_stale(t);
  return t.held.count == 0 && t.held.overflow == 0 &&
         t.invisible.load(std::memory_order_relaxed) == 0 && !modules::is_in_allocator(caller) &&
         !python::is_inside(caller);
}

void hold(Thread& t) {
  t.gated.store(true);
  t.parks.fetch_add(1, std::memory_order_relaxed);
  t.state.store(ThreadState::parked);
  wait_until_open();
  t.gated.store(false);
}

void wait_parked(Thread& t) {
  t.gated.store(true);
  t.parks.fetch_add(1, std::memory_order_relaxed);
  Stack* s = t.stack.load(std::memory_order_relaxed);
  if (s == nullptr) {
    t.state.store(ThreadState::parked);
    wait_until_open();
  } else {
    const auto nothing = [] {};
    resumable(t, *s, wait_until_open, nothing, nothing);  // in a child it is open
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

void after_fork_child(const ChildEntry&) {
  if (closed.load(std::memory_order_relaxed) == 0) return;
  closed.store(0, std::memory_order_relaxed);
  until.store(0, std::memory_order_relaxed);
}

Park::Park(Thread& t, const void* caller) : thread_(nullptr) {
  if (!t.registered || t.state.load(std::memory_order_relaxed) != ThreadState::running) return;
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
