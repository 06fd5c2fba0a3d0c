#include "shim/forking/standstill.h"

#include "shim/base/syscall.h"
#include "shim/python/bridge.h"
#include "shim/reporting/modules.h"

namespace forkmend::standstill {

FORKMEND_SAME_PAGE std::atomic<std::uint32_t> under_way{0};

namespace {

FORKMEND_SAME_PAGE std::atomic<Nanoseconds> until{0};
// Forks of this process and its ancestors, and the last one of the calling thread.
FORKMEND_SAME_PAGE std::atomic<std::uint32_t> forks{0};
FORKMEND_TLS std::uint32_t own_fork;
// In a child: the fork that made it, or 0 where nobody stood still for it.
FORKMEND_SAME_PAGE std::uint32_t made_by;

void keep_at_least(std::atomic<std::uint32_t>& number, std::uint32_t least) {
  std::uint32_t seen = number.load(std::memory_order_relaxed);
  while (seen < least && !number.compare_exchange_weak(seen, least)) {
  }
}

}  // namespace

void before_fork() {
  until.store(now() + kLongest);
  under_way.fetch_add(1);
  const std::uint32_t number = forks.fetch_add(1) + 1;
  own_fork = number;
  threads::for_each_live([&](Thread& t) {
    Stack* stack = t.stack.load(std::memory_order_relaxed);
    if (stack != nullptr && stack->stands && stack->standing.load() != Standing::waiting)
      keep_at_least(stack->missed, number);
    return true;
  });
  if (threads::lost.load(std::memory_order_relaxed) == 0) return;
  // One that an earlier fork lost stands as it stood then, or is lost for good.
  threads::for_each_lost([&](Thread& t) {
    Stack* stack = t.stack.load(std::memory_order_relaxed);
    if (stack != nullptr && stack->stands && !stood(*stack)) keep_at_least(stack->missed, number);
    return true;
  });
}

void after_fork_parent() {
  if (own_fork == 0) return;
  own_fork = 0;
  if (under_way.fetch_sub(1) == 1) sys::futex_wake_all(&under_way);
}

void after_fork_child(const ChildEntry&) {
  made_by = own_fork != 0 && now() < until.load() ? own_fork : 0;
  own_fork = 0;
  if (under_way.load(std::memory_order_relaxed) != 0) under_way.store(0, std::memory_order_relaxed);
}

bool stood(const Stack& s) {
  return made_by != 0 && s.stands && s.standing.load() != Standing::no && s.missed.load() < made_by;
}

bool hold() {
  for (;;) {
    const std::uint32_t seen = under_way.load();
    if (seen == 0) return true;
    const Nanoseconds left = until.load() - now();
    if (left <= 0) return false;
    const timespec timeout = to_timespec(left);
    sys::futex_wait(&under_way, seen, &timeout);
  }
}

bool may_stand(const Thread& t, const Stack& s, const void* caller) {
  return s.stands && s.standing.load(std::memory_order_relaxed) == Standing::no &&
         t.invisible.load(std::memory_order_relaxed) == 0 && !modules::is_in_allocator(caller) &&
         !python::is_inside(caller);
}

}  // namespace forkmend::standstill
