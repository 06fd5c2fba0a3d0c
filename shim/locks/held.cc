#include "shim/locks/held.h"

#include <sys/mman.h>

#include "shim/base/mapping.h"
#include "shim/base/syscall.h"
#include "shim/locks/layout.h"
#include "shim/reporting/lockup.h"
#include "shim/runtimes/runtime.h"

namespace forkmend::locks {

FORKMEND_SAME_PAGE std::atomic<bool> unreported{false};

namespace {

// What was opened on entry to this process.
Collected opened_locks[kMostCollected];
FORKMEND_SAME_PAGE int opened;

// /proc/self/maps is read once for all locks of a mapping, since most lie in one or two.
class Mappings {
 public:
  bool is_shared(const void* address) {
    if (!last_.holds(address)) last_ = mapping_of(address);
    return last_.is_shared;
  }

 private:
  Mapping last_{};
};

// Each opens a lock if it is still held as was noted. Its thread may have missed the safepoint,
// unlocked it, and freed its memory since: so it is looked at through a copy.
bool open_mutex(pthread_mutex_t* m, int tid, Mappings& mappings) {
  pthread_mutex_t copy;
  if (sys::copy_memory(&copy, m, sizeof copy) != sizeof copy) return false;
  // No owner: caught in the middle of a lock or an unlock; nobody is inside it.
  const int owner = layout::mutex_owner(&copy);
  const bool orphaned = owner == tid || (owner == 0 && layout::looks_locked(&copy));
  if (!orphaned || mappings.is_shared(m) || layout::mutex_shared(m)) return false;
  layout::mutex_open(m);
  return true;
}

bool open_rwlock(pthread_rwlock_t* l, int tid, bool written, Mappings& mappings) {
  pthread_rwlock_t copy;
  if (sys::copy_memory(&copy, l, sizeof copy) != sizeof copy) return false;
  if (!layout::rwlock_known() || layout::rwlock_shared(&copy) || mappings.is_shared(l))
    return false;
  const unsigned readers = layout::rwlock_readers(&copy);
  if (written) {
    if (layout::rwlock_writer(&copy) != tid) return false;
    layout::rwlock_rewrite(l, 0, 0);
    return true;
  }
  if (layout::rwlock_in_write_phase(&copy) || readers == 0) return false;
  layout::rwlock_rewrite(l, readers - 1, 0);
  return true;
}

bool open_spin(pthread_spinlock_t* s, Mappings& mappings) {
  int copy;
  if (sys::copy_memory(&copy, const_cast<int*>(s), sizeof copy) != sizeof copy) return false;
  if (copy == layout::spin_open() || mappings.is_shared(const_cast<int*>(s))) return false;
  *s = layout::spin_open();
  return true;
}

bool open(const Collected& c, Mappings& mappings) {
  switch (c.kind) {
    case HeldKind::mutex:
      return open_mutex(static_cast<pthread_mutex_t*>(c.lock), c.tid, mappings);
    case HeldKind::rwlock_read:
    case HeldKind::rwlock_write:
      return open_rwlock(static_cast<pthread_rwlock_t*>(c.lock), c.tid,
                         c.kind == HeldKind::rwlock_write, mappings);
    case HeldKind::spin:
      return open_spin(static_cast<pthread_spinlock_t*>(c.lock), mappings);
  }
  return false;
}

}  // namespace

void pop_from_within(Thread& t, const void* lock) {
  HeldLocks& held = t.held;
  for (int i = held.count - 1; i >= 0; i--) {
    if (held.lock[i] != lock) continue;
    for (held.count--; i < held.count; i++) {
      held.lock[i] = held.lock[i + 1];
      held.kind[i] = held.kind[i + 1];
    }
    return;
  }
  // Not in a slot: one of those that had no room, or locked before the thread was registered.
  if (held.overflow > 0) held.overflow--;
}

void drop_stale(Thread& t) {
  HeldLocks& held = t.held;
  const int tid = t.tid.load(std::memory_order_relaxed);
  int kept = 0;
  for (int i = 0; i < held.count; i++) {
    if (held.kind[i] == HeldKind::mutex && layout::mutex_known()) {
      pthread_mutex_t copy;
      const bool readable = sys::copy_memory(&copy, held.lock[i], sizeof copy) == sizeof copy;
      if (!readable || layout::mutex_owner(&copy) != tid) continue;
    }
    held.lock[kept] = held.lock[i];
    held.kind[kept] = held.kind[i];
    kept++;
  }
  held.count = kept;
}

void Collection::add(const void* lock, const Thread& owner, HeldKind kind, bool inside) {
  constexpr long kSize = kMostCollected * sizeof(Collected);
  if (count_ == kFew && many_ == nullptr) {
    const long memory =
        sys::call(SYS_mmap, 0, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory < 0 && memory > -4096) return;
    many_ = reinterpret_cast<Collected*>(memory);
    for (int i = 0; i < kFew; i++) many_[i] = few_[i];
  }
  if (count_ == kMostCollected) return;
  Collected* all = many_ != nullptr ? many_ : few_;
  all[count_++] = {const_cast<void*>(lock), &owner, owner.tid.load(std::memory_order_relaxed), kind,
                   inside};
}

void Collection::clear() {
  count_ = 0;
  if (many_ == nullptr) return;
  sys::call(SYS_munmap, sys::arg(many_), kMostCollected * sizeof(Collected));
  many_ = nullptr;
}

void collect(Collection& held) {
  if (!layout::mutex_known() || runtimes::registered_threads.load() == 0) return;
  Thread* self = threads::self();
  threads::for_each_live([&](Thread& t) {
    if (!t.registered || &t == self) return true;
    for (int i = 0; i < t.held.count; i++) held.add(t.held.lock[i], t, t.held.kind[i], true);
    // A thread that was just handed a mutex and stands at the gate owns it without a list entry.
    if (t.wait.call.load() != WaitCall::none && t.wait.mutex != nullptr)
      held.add(t.wait.mutex, t, HeldKind::mutex, false);
    if (t.wait.call.load() == WaitCall::rwlock_wrlock)
      held.add(t.wait.object, t, HeldKind::rwlock_write, false);
    return true;
  });
}

void after_fork_child(const ChildEntry&, const Collection* held) {
  if (opened != 0) opened = 0;
  if (held == nullptr || held->count() == 0) return;
  bool worth_a_word = false;
  Mappings mappings;
  for (int i = 0; i < held->count(); i++) {
    const Collected& c = (*held)[i];
    if (!open(c, mappings)) continue;
    opened_locks[opened++] = c;
    worth_a_word = worth_a_word || c.inside;
  }
  if (worth_a_word) unreported.store(true, std::memory_order_relaxed);
}

int opened_at_fork() { return opened; }

const char* kind_name(HeldKind kind) {
  constexpr const char* kNames[] = {"mutex", "rwlock", "rwlock", "spin"};
  return kNames[static_cast<int>(kind)];
}

void report_opened_at_fork() {
  if (!unreported.exchange(false)) return;
  for (int i = 0; i < opened; i++) {
    const Collected& c = opened_locks[i];
    if (c.inside) report_opened(c.lock, kind_name(c.kind), *c.owner, "fork");
  }
}

}  // namespace forkmend::locks
