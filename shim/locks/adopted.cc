#include "shim/locks/adopted.h"

#include <errno.h>
#include <semaphore.h>
#include <string.h>

#include "shim/base/lazy.h"
#include "shim/base/real.h"
#include "shim/base/spinlock.h"
#include "shim/locks/layout.h"
#include "shim/locks/orphan.h"
#include "shim/runtimes/runtime.h"

namespace forkmend::locks {
namespace {

constexpr int kMostAdopted = 4096;    // a sharded pool of 1,024 workers adopts 3 a worker
constexpr std::size_t kLargest = 56;  // pthread_rwlock_t, the largest of the four

struct Adopted {
  Runtime* runtime;  // null: unused
  void* lock;
  std::uint8_t kind;
  std::uint8_t size;
  char image[kLargest];
};

struct Table {
  Adopted adopted[kMostAdopted];
};
Lazy<Table> table;
FORKMEND_SAME_PAGE int used;

std::size_t size_of(forkmend_lock_kind kind) {
  switch (kind) {
    case FORKMEND_MUTEX:
      return sizeof(pthread_mutex_t);
    case FORKMEND_COND:
      return sizeof(pthread_cond_t);
    case FORKMEND_RWLOCK:
      return sizeof(pthread_rwlock_t);
    case FORKMEND_SEM:
      return sizeof(sem_t);
  }
  return 0;
}

// 0 if it can be adopted now.
int check(forkmend_lock_kind kind, void* object) {
  switch (kind) {
    case FORKMEND_MUTEX: {
      const auto* m = static_cast<pthread_mutex_t*>(object);
      return layout::mutex_shared(m) ? EINVAL : layout::looks_locked(m) ? EBUSY : 0;
    }
    case FORKMEND_COND:
      return layout::cond_shared(static_cast<pthread_cond_t*>(object)) ? EINVAL : 0;
    case FORKMEND_RWLOCK: {
      auto* l = static_cast<pthread_rwlock_t*>(object);
      if (layout::rwlock_shared(l)) return EINVAL;
      const int result = real().pthread_rwlock_trywrlock(l);
      if (result == 0) real().pthread_rwlock_unlock(l);
      return result == 0 ? 0 : EBUSY;
    }
    case FORKMEND_SEM:
      return layout::sem_shared(static_cast<sem_t*>(object)) ? EINVAL : 0;
  }
  return EINVAL;
}

// The forking thread holds it: by then its record carries the child's tid, libc's lock the
// parent's. A mutex that is locked but has no owner yet, or no longer, was caught in the middle of
// a lock or an unlock of a thread that is lost (1 of some thousand forks under load): nobody is
// inside it.
bool held_by_survivor(const Adopted& a) {
  if (a.kind == FORKMEND_MUTEX) {
    const auto* m = static_cast<pthread_mutex_t*>(a.lock);
    return layout::looks_locked(m) && layout::mutex_owner(m) != 0 && !is_orphan(m);
  }
  if (a.kind == FORKMEND_RWLOCK) {
    const auto* l = static_cast<pthread_rwlock_t*>(a.lock);
    return layout::rwlock_writer(l) != 0 && orphan_owner(l) == nullptr;
  }
  return false;
}

}  // namespace

int adopt(Runtime* runtime, forkmend_lock_kind kind, void* object) {
  const std::size_t size = size_of(kind);
  if (size == 0 || object == nullptr) return EINVAL;
  const int refusal = check(kind, object);
  if (refusal != 0) return refusal;
  Table* all = table.get();
  if (all == nullptr) return ENOSPC;
  SpinGuard guard(Rank::adopted);
  for (int i = 0; i < kMostAdopted; i++) {
    Adopted& a = all->adopted[i];
    if (i < used && a.runtime != nullptr) continue;
    a.lock = object;
    a.kind = static_cast<std::uint8_t>(kind);
    a.size = static_cast<std::uint8_t>(size);
    memcpy(a.image, object, size);
    a.runtime = runtime;
    if (i >= used) used = i + 1;
    return 0;
  }
  return ENOSPC;
}

void forget(Runtime* runtime) {
  SpinGuard guard(Rank::adopted);
  for (int i = 0; i < used; i++) {
    Adopted& a = table.existing()->adopted[i];
    if (a.runtime == runtime) a.runtime = nullptr;
  }
}

void adopted_after_fork_child(const ChildEntry&) {
  for (int i = 0; i < used; i++) {
    const Adopted& a = table.existing()->adopted[i];
    if (a.runtime == nullptr || a.runtime->handle.lost == 0 || held_by_survivor(a)) continue;
    memcpy(a.lock, a.image, a.size);
  }
}

}  // namespace forkmend::locks
