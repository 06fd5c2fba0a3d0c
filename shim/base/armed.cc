#include "shim/base/armed.h"

#include <sys/mman.h>

#include "shim/base/syscall.h"

namespace forkmend {

ArmedPage armed_page;
FORKMEND_SAME_PAGE std::atomic<bool> wipes_on_fork{false};

namespace {
FORKMEND_SAME_PAGE std::atomic<std::uint32_t> reasons{static_cast<std::uint32_t>(Busy::unresolved)};

void publish() {
  // Two threads may change different reasons at once: the last store must say what holds now.
  std::uint32_t seen;
  do {
    seen = reasons.load();
    armed_page.alive.store(kPageAlive, std::memory_order_relaxed);
    armed_page.quiet.store(seen == 0 ? 1 : 0);
  } while (reasons.load() != seen);
}

}  // namespace

void set_busy(Busy reason, bool on) {
  const auto bit = static_cast<std::uint32_t>(reason);
  if (on) {
    reasons.fetch_or(bit);
  } else {
    reasons.fetch_and(~bit);
  }
  publish();
}

void restore_armed_page(const ChildEntry&) {
  armed_page.no_enqueue.store(1, std::memory_order_relaxed);
  publish();
}

void wipe_on_fork() {
  if (wipes_on_fork.load(std::memory_order_relaxed)) return;
  armed_page.alive.store(kPageAlive, std::memory_order_relaxed);
  // Linux 4.14. An older kernel refuses: raw forks then go unnoticed, nothing else changes.
  if (sys::call(SYS_madvise, sys::arg(&armed_page), kArmedPageSize, MADV_WIPEONFORK) == 0)
    wipes_on_fork.store(true, std::memory_order_release);
}

}  // namespace forkmend
