#include "shim/locks/held.h"

#include "shim/base/syscall.h"
#include "shim/locks/layout.h"
#include "shim/runtimes/runtime.h"

namespace forkmend::locks {
namespace {

// At the safepoint nearly every list is empty; a thread that missed the deadline holds a few.
constexpr int kMostCollected = 256;

struct Collected {
  pthread_mutex_t* mutex;
  int owner;
};

Collected collected[kMostCollected];
FORKMEND_SAME_PAGE int collected_count;
FORKMEND_SAME_PAGE int opened;

}  // namespace

void push(Thread& t, const void* lock, HeldKind kind) {
  HeldLocks& held = t.held;
  if (held.count < kHeldSlots) {
    held.lock[held.count] = lock;
    held.kind[held.count] = kind;
    held.count++;
  } else {
    held.overflow++;
  }
}

void pop(Thread& t, const void* lock) {
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
  threads::for_each([&](Thread& t) {
    if (!t.registered || &t == self || !threads::is_live(t)) return true;
    const int tid = t.tid.load(std::memory_order_relaxed);
    for (int i = 0; i < t.held.count && collected_count < kMostCollected; i++) {
      if (t.held.kind[i] == HeldKind::mutex)
        collected[collected_count++] = {
            static_cast<pthread_mutex_t*>(const_cast<void*>(t.held.lock[i])), tid};
    }
    // A thread that was just handed a mutex and stands at the gate owns it without a list entry.
    if (t.wait.call.load() != WaitCall::none && t.wait.mutex != nullptr &&
        collected_count < kMostCollected)
      collected[collected_count++] = {t.wait.mutex, tid};
    return true;
  });
}

void after_fork_child(const ChildEntry&) {
  if (collected_count == 0) return;
  opened = 0;
  for (int i = 0; i < collected_count; i++) {
    pthread_mutex_t* m = collected[i].mutex;
    // Its thread may have missed the safepoint, unlocked it, and freed its memory since: only a
    // readable mutex that its noted owner still holds is an orphan.
    pthread_mutex_t copy;
    if (sys::copy_memory(&copy, m, sizeof copy) != sizeof copy) continue;
    // No owner: caught in the middle of a lock or an unlock; nobody is inside it.
    const int owner = layout::mutex_owner(&copy);
    const bool orphaned =
        owner == collected[i].owner || (owner == 0 && layout::looks_locked(&copy));
    if (!orphaned || layout::mutex_shared(m)) continue;  // by its mapping: not the copy
    layout::mutex_open(m);
    opened++;
  }
  collected_count = 0;
}

int opened_at_fork() { return opened; }

}  // namespace forkmend::locks
