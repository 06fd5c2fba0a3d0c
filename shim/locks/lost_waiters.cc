#include "shim/locks/lost_waiters.h"

#include "shim/base/hash.h"
#include "shim/base/lazy.h"
#include "shim/base/mapping.h"
#include "shim/base/settings.h"
#include "shim/base/spinlock.h"
#include "shim/locks/layout.h"
#include "shim/reporting/event.h"
#include "shim/waiting/handover.h"

namespace forkmend::locks {
namespace {

// What the thread that forked was itself waiting on.
FORKMEND_SAME_PAGE const void* own_wait;

// Read-write locks that this process has used since it was forked, by address. Of their waiters
// there are no records while the parent has no registered runtime, so that each is looked at at its
// first use here, when no thread of this process can be inside.
class FirstUses {
 public:
  // Calls look() if nobody here has used it before; others wait until that is done. `maybe`:
  // whether there may be something to do, asked once and before that, since it may read files.
  template <class Maybe, class Look>
  void first(const void* object, Maybe&& maybe, Look&& look) {
    Table* all = table_.get();
    if (all == nullptr || find(*all, object) != kMissing) return;
    if (!add(*all, object, maybe(), look)) say_full();
  }

  void after_fork_child() {
    const bool filled = used_ != 0 || spin::was_held_at_fork(Rank::lost_waiters);
    if (filled && table_.existing() != nullptr) {
      for (auto& object : table_.existing()->object)
        object.store(nullptr, std::memory_order_relaxed);
    }
    if (filled) used_ = 0;
  }

 private:
  static constexpr std::size_t kSize = 8192;  // 64 KiB, mapped at the first one
  static constexpr std::size_t kMost = kSize / 2;
  static constexpr std::size_t kMissing = kSize;

  struct Table {
    std::atomic<const void*> object[kSize];
  };

  static std::size_t find(const Table& all, const void* object) {
    for (std::size_t at = hash_address<kSize>(object);; at = (at + 1) % kSize) {
      const void* seen = all.object[at].load(std::memory_order_acquire);
      if (seen == object) return at;
      if (seen == nullptr) return kMissing;
    }
  }

  template <class Look>
  bool add(Table& all, const void* object, bool needed, Look&& look) {
    const SpinGuard guard(Rank::lost_waiters);
    if (find(all, object) != kMissing) return true;
    if (used_ == kMost) return false;
    if (needed) look();
    std::size_t free = hash_address<kSize>(object);
    while (all.object[free].load(std::memory_order_relaxed) != nullptr) free = (free + 1) % kSize;
    all.object[free].store(object, std::memory_order_release);
    used_++;
    return true;
  }

  static void say_full() {
    static std::atomic<bool> said{false};
    if (!said.exchange(true))
      report_off("lost waiters of read-write locks", "this child uses more than 4,096 of them");
  }

  Lazy<Table> table_;
  std::size_t used_ = 0;
};
FORKMEND_SAME_PAGE FirstUses first_uses;

void say_put_right(const char* kind, const void* object) {
  static std::atomic<bool> said{false};
  if (settings.log == Log::info && !said.exchange(true))
    say("{} {} counted waiters that did not survive fork: put right", kind, object);
}

// Calls repair() once for an object with lost waiters; other threads find it done.
template <class Repair>
void once(const void* object, const char* kind, Repair&& repair) {
  handover::LostWait* lost = handover::lost_wait(object);
  if (FORKMEND_LIKELY(lost == nullptr) || lost->forgotten.load(std::memory_order_acquire)) return;
  const bool mendable = object != own_wait && !in_shared_memory(object);
  {
    SpinGuard guard(Rank::lost_waiters);
    if (lost->forgotten.load(std::memory_order_relaxed)) return;
    if (mendable) repair();
    lost->forgotten.store(true, std::memory_order_release);
  }
  say_put_right(kind, object);
}

}  // namespace

void put_right(pthread_cond_t* c) {
  if (!layout::cond_known() || layout::cond_shared(c)) return;
  once(c, "condition variable", [&] { layout::cond_renew(c); });
}

void put_right(pthread_barrier_t* b) {
  if (!layout::barrier_known() || layout::barrier_shared(b)) return;
  once(b, "barrier", [&] { layout::barrier_forget_waiters(b); });
}

void put_right_waiters(pthread_rwlock_t* l) {
  if (!layout::rwlock_known() || layout::rwlock_shared(l)) return;
  bool changed = false;
  // Until the first use is noted no thread of this process is inside, so that what was seen holds.
  const auto has_lost_waiters = [&] {
    return l != own_wait && layout::rwlock_has_waiters(l) && !in_shared_memory(l);
  };
  first_uses.first(l, has_lost_waiters, [&] {
    const int writer = layout::rwlock_writer(l);
    // In a write phase readers are counted that wait; without a writer it is being handed over, to
    // a thread that is lost.
    const unsigned readers = layout::rwlock_in_write_phase(l) ? 0 : layout::rwlock_readers(l);
    layout::rwlock_rewrite(l, readers, writer);
    changed = true;
  });
  if (changed) say_put_right("read-write lock", l);
}

void lost_waiters_after_fork_child(const ChildEntry&) {
  first_uses.after_fork_child();
  const Thread* self = threads::self();
  const bool waits =
      self != nullptr && self->wait.call.load(std::memory_order_relaxed) != WaitCall::none;
  own_wait = waits ? self->wait.object : nullptr;
}

}  // namespace forkmend::locks
