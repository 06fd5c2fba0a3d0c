#include "shim/locks/libc_calls.h"

#include <linux/membarrier.h>

#include <algorithm>

#include "shim/base/door.h"
#include "shim/base/looks.h"
#include "shim/base/settings.h"
#include "shim/base/syscall.h"
#include "shim/locks/libc_stuck.h"
#include "shim/threads/kernel_state.h"
#include "shim/waiting/watch.h"

namespace forkmend::libc_calls {

FORKMEND_SAME_PAGE std::atomic<std::uint32_t> attention{0};

namespace {

// Who sleeps for another reason than a lock may do so for seconds (a name service that does not
// answer). A fork is not held up longer than a user would notice.
constexpr Nanoseconds kLongestAsleep = 10 * kMillisecond;
// Between looks, after the first ones.
constexpr Nanoseconds kPause = 50 * kMicrosecond;
// After a fork that waited in vain the next ones wait half as long, down to this part of it.
constexpr int kMostHalvings = 5;

// What `attention` holds beside kUsed.
constexpr std::uint32_t kFork = 2;                  // added by each fork under way
constexpr std::uint32_t kUnordered = 0x8000'0000;   // there is no membarrier: each call has a fence
constexpr std::uint32_t kLeftInside = 0x4000'0000;  // lost threads of this process were inside

FORKMEND_SAME_PAGE constinit Door door;
FORKMEND_SAME_PAGE std::atomic<int> misses{0};

bool unordered() { return (attention.load(std::memory_order_relaxed) & kUnordered) != 0; }

enum class Place : std::uint8_t { outside, running, queued, asleep };

// Where a thread is, as far as it matters to a fork.
Place place_of(const Thread& t) {
  if (t.libc_call.frame.load(std::memory_order_acquire) == nullptr) return Place::outside;
  const LibcFunction* function = t.libc_call.function;
  if (t.wait.call.load(std::memory_order_relaxed) != WaitCall::none) return Place::asleep;
  const int tid = t.tid.load(std::memory_order_relaxed);
  switch (kernel_activity(tid).syscall) {
    case -1:  // in no call, or /proc does not tell
      return Place::running;
    case SYS_futex:  // for a lock of another one that is inside
      return Place::queued;
#if defined(SYS_poll)
    case SYS_poll:
#endif
    case SYS_ppoll:
      return function->polls_without_lock ? Place::outside : Place::asleep;
    default:
      return kernel_state(tid) == KernelState::sleeping ? Place::asleep : Place::running;
  }
}

// How long a fork may wait for those who are inside now; 0 if nobody is. Most such calls are over
// in microseconds, but on a loaded machine a thread that runs needs its turn on a processor first.
// Who is queued goes on when the others have.
Nanoseconds patience() {
  bool seen[4] = {};
  const Thread* self = threads::self();
  threads::for_each_live([&](Thread& t) {
    if (t.libc_call.frame.load(std::memory_order_relaxed) == nullptr) return true;
    if (&t == self) return true;
    const Place place = place_of(t);
    seen[static_cast<int>(place)] = true;
    return place != Place::running;
  });
  const auto any = [&](Place place) { return seen[static_cast<int>(place)]; };
  if (any(Place::running)) return settings.drain;
  if (any(Place::asleep)) return std::min(kLongestAsleep, settings.drain);
  return any(Place::queued) ? settings.drain : 0;
}

// True if nobody is left inside.
bool wait_until_outside(Nanoseconds start) {
  const int halvings = misses.load(std::memory_order_relaxed);
  for (int looks = 0;; looks++) {
    const Nanoseconds longest = patience();
    if (longest == 0) return true;
    if (now() - start >= longest >> halvings) return false;
    pause_between_looks(looks, kPause);
  }
}

}  // namespace

void prepare() {
  if (sys::call(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0)
    attention.fetch_or(kUnordered);
}

void arrive(Thread& t, const void* frame, Trial trial, const void* caller) {
  if ((attention.load() & kUsed) == 0) attention.fetch_or(kUsed);
  if ((attention.load() & kLeftInside) != 0 && watch::needed())
    libc_stuck::try_first(t, *t.libc_call.function, trial, caller);
  LibcCall& call = t.libc_call;
  for (;;) {
    call.frame.store(frame);  // in one order with the look at the door
    if (call.closed_door || door.is_open()) return;
    call.frame.store(nullptr);
    door.wait();
  }
}

void close_and_wait() {
  Thread* self = threads::self();
  if (self == nullptr || self->libc_call.closed_door || (attention.load() & kUsed) == 0 ||
      settings.drain == 0)
    return;
  self->libc_call.closed_door = true;
  const Nanoseconds start = now();
  attention.fetch_add(kFork);
  door.close(start + settings.drain);
  if (!unordered()) sys::call(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED);
  const bool outside = wait_until_outside(start);
  const int before = misses.load(std::memory_order_relaxed);
  if (outside && before > 0) misses.store(before - 1, std::memory_order_relaxed);
  if (outside) return;
  if (before < kMostHalvings) misses.store(before + 1, std::memory_order_relaxed);
  self->libc_call.left_others_inside = (attention.load() & kLeftInside) == 0;
  attention.fetch_or(kLeftInside);
}

void after_fork_parent() {
  Thread* self = threads::self();
  if (self == nullptr || !self->libc_call.closed_door) return;
  self->libc_call.closed_door = false;
  if (self->libc_call.left_others_inside) {
    self->libc_call.left_others_inside = false;
    attention.fetch_and(~kLeftInside);
  }
  door.open();
  attention.fetch_sub(kFork);
}

void after_fork_child(const ChildEntry& entry) {
  Thread* self = threads::self();
  if (self != nullptr) self->libc_call.closed_door = self->libc_call.left_others_inside = false;
  if (attention.load(std::memory_order_relaxed) <= kUsed) return;
  door.after_fork_child(entry);
  attention.fetch_and(kUsed | kUnordered | kLeftInside, std::memory_order_relaxed);
}

}  // namespace forkmend::libc_calls
