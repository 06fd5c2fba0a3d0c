#include "shim/base/spinlock.h"

namespace forkmend::spin {

FORKMEND_SAME_PAGE Words words{};

namespace {

FORKMEND_SAME_PAGE std::uint32_t held_at_fork;
static_assert(kLocks <= 32);

constexpr std::uint32_t bit(Rank rank) { return 1u << static_cast<unsigned>(rank); }

}  // namespace

void open_all(const ChildEntry&) {
  std::uint32_t held = 0;
  for (int i = 0; i < kLocks; i++) {
    if (words.held[i].load(std::memory_order_relaxed) == 0) continue;
    held |= bit(static_cast<Rank>(i));
    words.held[i].store(0, std::memory_order_relaxed);
  }
  held_at_fork = held;
}

bool was_held_at_fork(Rank rank) { return (held_at_fork & bit(rank)) != 0; }

#if defined(FORKMEND_CHECK_LOCKS)
namespace {

FORKMEND_TLS std::uint32_t held_here;

void end_if(bool wrong, const char (&line)[48]) {
  if (!wrong) return;
  sys::write(2, line, sizeof line - 1);
  __builtin_trap();
}

}  // namespace

void check_order(Rank rank) {
  end_if(held_here >= bit(rank), "forkmend: a lock is taken out of its order    \n");
}
void note(Rank rank, bool taken) {
  held_here = taken ? held_here | bit(rank) : held_here & ~bit(rank);
}
void check_none_held() {
  end_if(held_here != 0, "forkmend: a lock is held over what may wait   \n");
}
#endif

}  // namespace forkmend::spin
