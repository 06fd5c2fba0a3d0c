#include "shim/waiting/handover.h"

#include "shim/base/hash.h"
#include "shim/base/lazy.h"
#include "shim/base/spinlock.h"
#include "shim/python/bridge.h"
#include "shim/reviving/forkall.h"
#include "shim/reviving/trigger.h"
#include "shim/runtimes/runtime.h"
#include "shim/waiting/blocking.h"

namespace forkmend::handover {
namespace {

// Objects that lost threads were parked on, by address: built at the first signal in the child, so
// that a child that signals often does not look through a thousand records each time. What does not
// fit is not evidence: silence, never a false alarm.
constexpr std::size_t kTableSize = 4096;  // 1,000 lost threads on as many objects fill a quarter
constexpr std::size_t kMostEntries = kTableSize / 2;

// Building takes a fraction of a millisecond. Who has waited this long goes without the table.
constexpr Nanoseconds kPatience = 20 * kMillisecond;

struct Table {
  LostWait entry[kTableSize];
};
Lazy<Table> lazy_table;
FORKMEND_SAME_PAGE std::atomic<bool> built{false};
Evidence evidence;
FORKMEND_SAME_PAGE std::atomic<bool> has_evidence{false};

void build() {
  // Not without an end: a semaphore may be posted by a handler that interrupted this very function.
  const Turn turn(Rank::lost_waits, kPatience);
  if (!turn || built.load(std::memory_order_relaxed)) return;
  Table* all = lazy_table.get();
  if (all == nullptr) return;
  LostWait* table = all->entry;
  std::size_t count = 0;
  threads::for_each_lost([&](Thread& t) {
    if (t.wait.call.load() == WaitCall::none || t.wait.object == nullptr) return true;
    std::size_t at = hash_address<kTableSize>(t.wait.object);
    while (table[at].object != nullptr && table[at].object != t.wait.object)
      at = (at + 1) % kTableSize;
    if (table[at].object == nullptr) {
      table[at].object = t.wait.object;
      table[at].thread = &t;
      count++;
    }
    return count < kMostEntries;
  });
  built.store(true, std::memory_order_release);
}

void set_evidence(const void* object, const Thread* lost, Runtime* runtime) {
  if (runtime != nullptr) runtime->enqueued.fetch_add(1, std::memory_order_relaxed);
  if (has_evidence.load(std::memory_order_relaxed)) return;
  const Turn turn(Rank::evidence);
  if (!turn || has_evidence.load(std::memory_order_relaxed)) return;
  evidence = {object, lost, runtime, now()};
  has_evidence.store(true, std::memory_order_release);
}

// Only of a library with a profile, which says that it wakes its threads for work alone. Any other
// library (an interpreter, the program itself) posts and signals for many reasons.
Runtime* lost_runtime_of(const void* caller) {
  Runtime* r = runtimes::of_caller(caller);
  if (r == nullptr || r->profile == nullptr || r->policy == Policy::leave) return nullptr;
  return r->handle.lost != 0 ? r : nullptr;
}

}  // namespace

LostWait* lost_wait(const void* object) {
  if (!built.load(std::memory_order_acquire)) build();
  if (!built.load(std::memory_order_acquire)) return nullptr;
  LostWait* table = lazy_table.existing()->entry;
  for (std::size_t at = hash_address<kTableSize>(object); table[at].object != nullptr;
       at = (at + 1) % kTableSize) {
    if (table[at].object == object) return &table[at];
  }
  return nullptr;
}

void note(const void* object, const void* caller, bool in_handlers, int wakes) {
  Thread* t = waiting::enter();
  if (t != nullptr) {
    t->signalled[t->signalled_next % kSignalledSlots] = object;
    t->signalled_next++;
  }
  if (FORKMEND_LIKELY(!watch::needed())) return;
  trigger::on_wake(object, caller, in_handlers);
  if (forkall::any()) forkall::woke(object, caller, in_handlers, wakes);
  // The interpreter signals its own lock at the same address as before the fork, where lost threads
  // waited for it: no work. An extension that signals is another matter, with the GIL or without.
  if (python::is_interpreters(caller)) return;
  const Thread* lost = lost_waiter(object);
  if (lost != nullptr) {
    set_evidence(object, lost, lost->runtime);
  } else if (Runtime* r = lost_runtime_of(caller)) {
    set_evidence(object, nullptr, r);
  }
}

void note_write(int fd, std::size_t size, const void* caller) {
  waiting::enter();
  trigger::on_write(fd, caller);
  if (!watch::needed() || size != sizeof(std::uint64_t)) return;
  if (Runtime* r = lost_runtime_of(caller))
    set_evidence(reinterpret_cast<const void*>(static_cast<long>(fd)), nullptr, r);
}

void note_enqueue(Runtime& r, const void* function) { set_evidence(function, nullptr, &r); }

const Evidence* first() {
  return has_evidence.load(std::memory_order_acquire) ? &evidence : nullptr;
}

const Thread* lost_signaller(const void* object) {
  const Thread* found = nullptr;
  threads::for_each_lost([&](Thread& t) {
    for (const void* signalled : t.signalled) {
      if (signalled == object) found = &t;
    }
    return found == nullptr;
  });
  return found;
}

void after_fork_child(const ChildEntry&) {
  // The table is cleared only if the parent filled it, or began to: 64 KiB are not touched
  // otherwise.
  const bool filled =
      built.load(std::memory_order_relaxed) || spin::was_held_at_fork(Rank::lost_waits);
  if (filled && lazy_table.existing() != nullptr) {
    for (LostWait& entry : lazy_table.existing()->entry) {
      entry.object = nullptr;
      entry.forgotten.store(false, std::memory_order_relaxed);
    }
  }
  built.store(false, std::memory_order_relaxed);
  has_evidence.store(false, std::memory_order_relaxed);
}

}  // namespace forkmend::handover
