#include "shim/locks/held.h"

#include "shim/base/mapping.h"
#include "shim/base/syscall.h"
#include "shim/locks/layout.h"
#include "shim/reporting/lockup.h"
#include "shim/runtimes/runtime.h"

namespace forkmend::locks {

FORKMEND_SAME_PAGE std::atomic<bool> unreported{false};

namespace {

// At the safepoint nearly every list is empty; a thread that missed the deadline holds a few. What
// finds no room stays locked, and is an orphan like those of threads that nobody registered.
constexpr int kMostCollected = 256;

struct Collected {
  void* lock;
  const Thread* owner;
  int tid;
  HeldKind kind;
  bool inside;  // it may have been half way through what the lock guards
};

Collected collected[kMostCollected];
FORKMEND_SAME_PAGE int collected_count;
// The first so many of `collected` were opened on entry to this process.
FORKMEND_SAME_PAGE int opened;

void add(const void* lock, const Thread& owner, HeldKind kind, bool inside) {
  if (collected_count < kMostCollected)
    collected[collected_count++] = {const_cast<void*>(lock), &owner,
                                    owner.tid.load(std::memory_order_relaxed), kind, inside};
}

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

void collect() {
  if (collected_count != 0) collected_count = 0;
  if (!layout::mutex_known() || runtimes::registered_threads.load() == 0) return;
  Thread* self = threads::self();
  threads::for_each_live([&](Thread& t) {
    if (!t.registered || &t == self) return true;
    for (int i = 0; i < t.held.count; i++) add(t.held.lock[i], t, t.held.kind[i], true);
    // A thread that was just handed a mutex and stands at the gate owns it without a list entry.
    if (t.wait.call.load() != WaitCall::none && t.wait.mutex != nullptr)
      add(t.wait.mutex, t, HeldKind::mutex, false);
    if (t.wait.call.load() == WaitCall::rwlock_wrlock)
      add(t.wait.object, t, HeldKind::rwlock_write, false);
    return true;
  });
}

void after_fork_child(const ChildEntry&) {
  if (opened != 0) opened = 0;
  if (collected_count == 0) return;
  bool worth_a_word = false;
  Mappings mappings;
  for (int i = 0; i < collected_count; i++) {
    const Collected c = collected[i];
    if (!open(c, mappings)) continue;
    collected[opened++] = c;
    worth_a_word = worth_a_word || c.inside;
  }
  collected_count = 0;
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
    const Collected& c = collected[i];
    if (c.inside) report_opened(c.lock, kind_name(c.kind), *c.owner, "fork");
  }
}

}  // namespace forkmend::locks
