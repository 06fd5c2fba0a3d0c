#include "shim/threads/lost.h"

#include <errno.h>
#include <sys/mman.h>

#include "shim/base/armed.h"
#include "shim/base/hash.h"
#include "shim/base/lazy.h"
#include "shim/base/real.h"
#include "shim/base/syscall.h"
#include "shim/forking/protocol.h"
#include "shim/reviving/trigger.h"
#include "shim/threads/stacks.h"
#include "shim/waiting/watch.h"

namespace forkmend::threads {
namespace {

bool any_lost() {
  if (child_unannounced()) forking::notice_child();
  return watch::needed();
}

// Lost threads by handle. Filled by whoever is first to need it, or by several at once, also in a
// handler that interrupts another who fills it: each enters every lost thread, and finds what was
// entered already. A thread is never taken out; whether it is still lost is asked of its record.
constexpr std::size_t kSlots = std::size_t{1} << 19;  // twice as many as there are records
struct Table {
  std::atomic<Thread*> slot[kSlots];
};
Lazy<Table> lazy_table;
// For which generation the table is filled, plus one; 0: none.
FORKMEND_SAME_PAGE std::atomic<std::uint32_t> filled_for{0};

// Fewer records than this are looked through: a small program's child maps no table.
constexpr int kFewRecords = 64;

std::size_t slot_of(pthread_t handle) {
  return hash_address<kSlots>(reinterpret_cast<const void*>(handle));
}

bool has_handle(const Thread& t, pthread_t handle) {
  return pthread_equal(t.handle.load(), handle) != 0;
}

// Of two with the same handle the later one is meant: the other had ended when libc or the program
// gave it away.
bool is_meant(const Thread& t, const Thread* other) {
  return other == nullptr || other->serial() < t.serial();
}

void enter(Table& all, Thread& t) {
  const pthread_t handle = t.handle.load();
  if (handle == 0) return;
  std::size_t at = slot_of(handle);
  for (;;) {
    Thread* present = all.slot[at].load();
    if (present == &t) return;
    if (present == nullptr) {
      if (all.slot[at].compare_exchange_strong(present, &t)) return;
    } else if (!has_handle(*present, handle)) {
      at = (at + 1) % kSlots;
    } else if (!is_meant(t, present) || all.slot[at].compare_exchange_strong(present, &t)) {
      return;
    }
  }
}

// Null if records are to be looked through.
Table* filled_table() {
  if (first_own.load(std::memory_order_relaxed) <= kFewRecords) return nullptr;
  Table* all = lazy_table.get();
  if (all == nullptr) return nullptr;
  const std::uint32_t now = generation.load(std::memory_order_relaxed) + 1;
  if (filled_for.load(std::memory_order_acquire) != now) {
    for_each_lost([&](Thread& t) {
      enter(*all, t);
      return true;
    });
    filled_for.store(now, std::memory_order_release);
  }
  return all;
}

Thread* find(pthread_t handle) {
  Thread* found = nullptr;
  if (Table* all = filled_table()) {
    for (std::size_t at = slot_of(handle);; at = (at + 1) % kSlots) {
      found = all->slot[at].load();
      if (found == nullptr || has_handle(*found, handle)) break;
    }
    return found != nullptr && is_lost(*found) ? found : nullptr;
  }
  for_each_lost([&](Thread& t) {
    if (has_handle(t, handle) && is_meant(t, found)) found = &t;
    return true;
  });
  return found;
}

}  // namespace

Thread* lost_with_handle(pthread_t handle) {
  if (pthread_equal(handle, pthread_self())) return nullptr;  // also one without a record
  Thread* t = find(handle);
  return t != nullptr && (t->of_handle.load() & kPassedOn) == 0 ? t : nullptr;
}

bool pass_on(pthread_t handle, bool may_make_way) {
  Thread* t = find(handle);
  if (t == nullptr) return true;
  std::uint8_t seen = t->of_handle.load();
  for (;;) {
    const bool taken = may_make_way && (seen & (kSettled | kPassedOn)) == 0;
    const std::uint8_t then = seen | (taken ? kKept : kPassedOn);
    if (t->of_handle.compare_exchange_weak(seen, then)) return !taken;
  }
}

void lost_handle_noted() { filled_for.store(0, std::memory_order_release); }

void lost_handles_after_fork_child(const ChildEntry&) {
  // Only where a parent that had lost threads of its own asked: what it noted holds no longer.
  if (filled_for.load(std::memory_order_relaxed) == 0) return;
  filled_for.store(0, std::memory_order_relaxed);
  sys::call(SYS_madvise, sys::arg(lazy_table.existing()), sizeof(Table), MADV_DONTNEED);
}

int refuse_lost(pthread_t handle) {
  if (!any_lost()) return 0;
  trigger::on_act(handle);
  return lost_with_handle(handle) != nullptr ? ESRCH : 0;
}

bool settle_lost(pthread_t handle, void** result, int& error) {
  if (!any_lost()) return false;
  Thread* t = lost_with_handle(handle);
  if (t == nullptr) return false;
  const std::uint8_t before = t->of_handle.fetch_or(kSettled);
  if ((before & kPassedOn) != 0) return false;  // a moment ago
  error = (before & kSettled) != 0 ? ESRCH : 0;
  if (error != 0) return true;
  if (result != nullptr) *result = nullptr;
  // The thread that kept the handle taken (apart.h): it ended long ago.
  if ((before & kKept) != 0) real().pthread_detach(handle);
  return true;
}

int detach(pthread_t handle) {
  int error = 0;
  if (!settle_lost(handle, nullptr, error)) error = real().pthread_detach(handle);
  if (error == 0) stacks::detached(handle);
  return error;
}

}  // namespace forkmend::threads
