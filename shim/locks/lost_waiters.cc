#include "shim/locks/lost_waiters.h"

#include "shim/base/mapping.h"
#include "shim/base/settings.h"
#include "shim/base/spinlock.h"
#include "shim/locks/layout.h"
#include "shim/reporting/event.h"
#include "shim/waiting/handover.h"

namespace forkmend::locks {
namespace {

FORKMEND_SAME_PAGE Spinlock repairing;
// What the thread that forked was itself waiting on.
FORKMEND_SAME_PAGE const void* own_wait;

// Calls repair() once for an object with lost waiters; other threads find it done.
template <class Repair>
void once(const void* object, const char* kind, Repair&& repair) {
  handover::LostWait* lost = handover::lost_wait(object);
  if (FORKMEND_LIKELY(lost == nullptr) || lost->forgotten.load(std::memory_order_acquire)) return;
  {
    SpinGuard guard(repairing);
    if (lost->forgotten.load(std::memory_order_relaxed)) return;
    if (object != own_wait && !in_shared_memory(object)) repair();
    lost->forgotten.store(true, std::memory_order_release);
  }
  static std::atomic<bool> said{false};
  if (settings.log == Log::info && !said.exchange(true))
    say("{} {} counted waiters that did not survive fork: put right", kind, object);
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
  once(l, "read-write lock", [&] {
    const int writer = layout::rwlock_writer(l);
    // In a write phase readers are counted that wait; without a writer it is being handed over, to
    // a thread that is lost.
    const unsigned readers = layout::rwlock_in_write_phase(l) ? 0 : layout::rwlock_readers(l);
    layout::rwlock_rewrite(l, readers, writer);
  });
}

void lost_waiters_after_fork_child(const ChildEntry&) {
  repairing.unlock();
  const Thread* self = threads::self();
  const bool waits =
      self != nullptr && self->wait.call.load(std::memory_order_relaxed) != WaitCall::none;
  own_wait = waits ? self->wait.object : nullptr;
}

}  // namespace forkmend::locks
