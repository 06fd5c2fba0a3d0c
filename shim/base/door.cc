#include "shim/base/door.h"

#include "shim/base/syscall.h"

namespace forkmend {

void Door::keep_closed(Nanoseconds until) {
  Nanoseconds seen = until_.load();
  while (seen < until && !until_.compare_exchange_weak(seen, until)) {
  }
}

void Door::close(Nanoseconds until) {
  keep_closed(until);
  closed_.fetch_add(1);
}

void Door::open() {
  if (closed_.fetch_sub(1) != 1) return;
  until_.store(0);
  sys::futex_wake_all(&closed_);
}

void Door::wait() const {
  for (;;) {
    const std::uint32_t forks = closed_.load();
    const Nanoseconds left = until_.load() - now();
    if (forks == 0 || left <= 0) return;
    const timespec timeout = to_timespec(left);
    sys::futex_wait(&closed_, forks, &timeout);
  }
}

void Door::after_fork_child(const ChildEntry&) {
  if (closed_.load(std::memory_order_relaxed) == 0) return;
  closed_.store(0, std::memory_order_relaxed);
  until_.store(0, std::memory_order_relaxed);
}

}  // namespace forkmend
