// The one word that every hot interposer looks at, and the page that notices raw forks.
//
// Promises: while `quiet` is 1 an interposer forwards and does nothing else. It is 0 before the
// shim has resolved libc's functions, while threads of a registered runtime or lost threads exist,
// and in a child that was made behind our back: the page is wiped on fork (MADV_WIPEONFORK), from
// the first thread on, so that raw clone() and SYS_fork are noticed at the next interposed call
// at no cost on the fast path.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "shim/base/compiler.h"
#include "shim/base/token.h"

namespace forkmend {

inline constexpr std::uint32_t kPageAlive = 0x666d6e64;  // any value but 0
inline constexpr std::size_t kArmedPageSize = 4096;

struct alignas(kArmedPageSize) ArmedPage {
  std::atomic<std::uint32_t> quiet;
  std::atomic<std::uint32_t> alive;  // kPageAlive, or 0 in a child nobody told us of
  // What declared enqueue symbols look at (reviving/stubs.S, by its offset): 1 while none of them
  // has anything to do.
  std::atomic<std::uint32_t> no_enqueue;
  std::atomic<std::uint32_t> caught_up;  // 1: the books are this process's (forking/protocol.cc)
};
static_assert(offsetof(ArmedPage, no_enqueue) == 8);

extern FORKMEND_HIDDEN ArmedPage armed_page;
extern FORKMEND_HIDDEN std::atomic<bool> wipes_on_fork;  // not on the page

FORKMEND_INLINE bool quiet() {
  return FORKMEND_LIKELY(armed_page.quiet.load(std::memory_order_relaxed) != 0);
}

// Reasons for which `quiet` is 0; see set_busy.
enum class Busy : std::uint32_t { registered_threads = 1, lost_threads = 2, unresolved = 4 };

// True in a child whose entry the fork protocol has not seen yet.
FORKMEND_INLINE bool child_unannounced() {
  return FORKMEND_UNLIKELY(wipes_on_fork.load(std::memory_order_relaxed) &&
                           armed_page.alive.load(std::memory_order_relaxed) == 0);
}

// Sets or clears one reason. Async-signal-safe.
void set_busy(Busy reason, bool on);

// Puts the page's words back after it was wiped: on child entry.
void restore_armed_page(const ChildEntry&);

// Makes the page wipe on fork; called before the first thread is created. Idempotent.
void wipe_on_fork();

}  // namespace forkmend
