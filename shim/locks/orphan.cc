#include "shim/locks/orphan.h"

#include "shim/base/mapping.h"
#include "shim/base/settings.h"
#include "shim/base/spinlock.h"
#include "shim/reporting/lockup.h"

namespace forkmend::locks {
namespace {

// A tid of a lost thread may belong to a live one of this process by now: then it is no orphan.
const Thread* lost_thread_with(int tid) {
  if (tid == 0) return nullptr;
  const Thread* found = nullptr;
  const auto had = [&](const Thread& t) {
    return t.tid.load(std::memory_order_acquire) == tid || threads::has_been(t, tid);
  };
  threads::for_each_lost([&](Thread& t) {
    if (had(t)) found = &t;
    return true;
  });
  if (found == nullptr) return nullptr;
  bool alive = false;
  threads::for_each_live([&](Thread& t) {
    Identity identity = t.state.identity();
    bool its = false;
    alive =
        threads::read_of(t, identity, [&] { its = had(t); }) && its && threads::is_live(identity);
    return !alive;
  });
  return alive ? nullptr : found;
}

// A live thread waits on it: libc counts the waiters of a read-write lock inside it.
bool is_waited_for(const void* lock) {
  const Thread* self = threads::self();
  bool waited = false;
  threads::for_each_live([&](Thread& t) {
    waited = &t != self && t.wait.call.load() != WaitCall::none && t.wait.object == lock;
    return !waited;
  });
  return waited;
}

// One thread at a time puts a lock right; the others then see it done. Whether the lock's memory is
// shared is read from a file, before that: so the owner is looked at again.
Contended inherit(pthread_mutex_t* m, int owner, Thread& survivor) {
  const bool by_owner = &survivor == threads::self();
  if (layout::mutex_robust(m) && !layout::robust_known()) return Contended::wait;
  if (in_shared_memory(m)) return Contended::wait;
  SpinGuard guard(Rank::orphans);
  if (layout::mutex_owner(m) == owner)
    layout::mutex_inherit(m, owner, survivor.tid.load(std::memory_order_relaxed), by_owner);
  return by_owner ? Contended::retry : Contended::wait;
}

Contended inherit(pthread_rwlock_t* l, int writer, Thread& survivor) {
  if (in_shared_memory(l)) return Contended::wait;
  SpinGuard guard(Rank::orphans);
  if (layout::rwlock_writer(l) == writer)
    layout::rwlock_inherit(l, survivor.tid.load(std::memory_order_relaxed));
  return &survivor == threads::self() ? Contended::retry : Contended::wait;
}

// False: another thread was first.
bool open(pthread_mutex_t* m, int owner) {
  SpinGuard guard(Rank::orphans);
  if (layout::mutex_owner(m) != owner) return false;
  layout::mutex_open(m);
  return true;
}

enum class Opened { here, elsewhere, not_yet };
Opened open(pthread_rwlock_t* l, int writer) {
  SpinGuard guard(Rank::orphans);
  if (layout::rwlock_writer(l) != writer) return Opened::elsewhere;
  if (is_waited_for(l)) return Opened::not_yet;
  layout::rwlock_rewrite(l, 0, 0);
  return Opened::here;
}

}  // namespace

const Thread* orphan_owner(const pthread_mutex_t* m) {
  if (!layout::mutex_known() || layout::mutex_shared(m)) return nullptr;
  return lost_thread_with(layout::mutex_owner(m));
}

const Thread* orphan_owner(const pthread_rwlock_t* l) {
  if (!layout::rwlock_known() || layout::rwlock_shared(l)) return nullptr;
  return lost_thread_with(layout::rwlock_writer(l));
}

Contended examine(pthread_mutex_t* m) {
  if (!layout::mutex_known() || layout::mutex_shared(m)) return Contended::wait;
  const int owner = layout::mutex_owner(m);
  if (Thread* survivor = threads::survivor_with(owner)) return inherit(m, owner, *survivor);
  const Thread* lost = lost_thread_with(owner);
  if (lost == nullptr) return Contended::wait;
  if (settings.orphans != Orphans::reset || in_shared_memory(m))
    return layout::mutex_inherits_priority(m) ? Contended::hopeless : Contended::wait;
  if (open(m, owner)) report_opened(m, "mutex", *lost, "contention");
  return Contended::retry;
}

Contended examine(pthread_rwlock_t* l) {
  if (!layout::rwlock_known() || layout::rwlock_shared(l)) return Contended::wait;
  const int writer = layout::rwlock_writer(l);
  if (Thread* survivor = threads::survivor_with(writer)) return inherit(l, writer, *survivor);
  const Thread* lost = lost_thread_with(writer);
  if (lost == nullptr || settings.orphans != Orphans::reset) return Contended::wait;
  if (in_shared_memory(l)) return Contended::wait;
  switch (open(l, writer)) {
    case Opened::here:
      report_opened(l, "rwlock", *lost, "contention");
      return Contended::retry;
    case Opened::elsewhere:
      return Contended::retry;
    default:
      return Contended::wait;
  }
}

}  // namespace forkmend::locks
