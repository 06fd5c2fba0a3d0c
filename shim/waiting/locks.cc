#include "shim/waiting/locks.h"

#include "shim/base/real.h"
#include "shim/base/syscall.h"
#include "shim/forking/gate.h"
#include "shim/locks/held.h"
#include "shim/locks/layout.h"
#include "shim/locks/lost_waiters.h"
#include "shim/locks/orphan.h"
#include "shim/reviving/trigger.h"
#include "shim/waiting/blocking.h"

namespace forkmend::waiting {
namespace {

bool taken(int result) { return result == 0 || result == EOWNERDEAD; }

FORKMEND_INLINE void note_taken(Thread& t, const void* lock, HeldKind kind) {
  locks::report_pending();
  if (t.registered) locks::push(t, lock, kind);
}

// A mutex that a thread of this process may hold or have held: process-shared ones are waited for
// whole, another process ends the wait. PI mutexes refuse the monotonic clock before glibc 2.35 and
// are waited for by CLOCK_REALTIME: a clock that is set makes a slice shorter or longer, no more.
int lock_slice(pthread_mutex_t* m, const timespec& deadline) {
  if (!layout::mutex_inherits_priority(m))
    return real().pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &deadline);
  const timespec wall =
      to_timespec(now(CLOCK_REALTIME) + to_nanoseconds(deadline) - now(CLOCK_MONOTONIC));
  return real().pthread_mutex_timedlock(m, &wall);
}

// In a process with lost threads a mutex that is found taken is put right, where that can be done,
// and tried again.
FORKMEND_INLINE int try_lock(pthread_mutex_t* m, locks::Contended& contended) {
  const int result = real().pthread_mutex_trylock(m);
  if (FORKMEND_LIKELY(result != EBUSY || !watch::needed())) return result;
  contended = locks::examine(m);
  return contended == locks::Contended::retry ? real().pthread_mutex_trylock(m) : result;
}

// What libc does with a PI mutex whose owner it cannot find, but without the assertion.
int sleep_until(clockid_t clock, const timespec& deadline) {
  while (sys::call(SYS_clock_nanosleep, clock, TIMER_ABSTIME, sys::arg(&deadline)) == -EINTR) {
  }
  return ETIMEDOUT;
}

int lock_watched(Thread& t, pthread_mutex_t* m) {
  if (!watch::needed() || layout::mutex_shared(m)) return real().pthread_mutex_lock(m);
  return sliced<int>(
      t, ETIMEDOUT, ETIMEDOUT, [&] { return real().pthread_mutex_lock(m); },
      [&](const timespec& deadline) { return lock_slice(m, deadline); });
}

template <class Lock>
int lock_blocking(Thread& t, pthread_mutex_t* m, Timeout timeout, const void* caller,
                  locks::Contended& contended, Lock&& lock) {
  trigger::on_block(WaitCall::mutex_lock, m, caller);
  const Blocking blocking(t, WaitCall::mutex_lock, m, caller, timeout, m);
  gate::Park park(t, caller);
  int result;
  const auto take = [&] { result = lock(); };
  const auto give_back = [&] {
    if (result == 0) real().pthread_mutex_unlock(m);  // not EOWNERDEAD: it would be lost for good
  };
  const auto take_again = [&] {
    if (result == 0) result = real().pthread_mutex_lock(m);
  };
  while (!park.run(take, give_back, take_again)) {
    // Resumed in a child: who held it may be lost.
    if (watch::needed()) contended = locks::examine(m);
  }
  if (taken(result)) {
    park.leave_with(give_back, take_again);
  } else {
    park.leave();
  }
  return result;
}

// Apart, so that a lock that is free pays for no frame of it.
FORKMEND_NOINLINE int lock_contended(Thread& t, pthread_mutex_t* m, locks::Contended contended,
                                     const void* caller) {
  const int result = lock_blocking(t, m, Timeout::none, caller, contended, [&] {
    if (FORKMEND_UNLIKELY(contended == locks::Contended::hopeless)) wait_for_ever(t);
    return lock_watched(t, m);
  });
  if (taken(result)) note_taken(t, m, HeldKind::mutex);
  return result;
}

// In a process with lost threads, before a read-write lock is taken: whoever holds or waits for it
// and cannot exist here any more is put right first.
void put_right(pthread_rwlock_t* l) {
  if (FORKMEND_LIKELY(!watch::needed())) return;
  locks::forget_lost_waiters(l);
  if (layout::rwlock_writer(l) != 0) locks::examine(l);
}

template <class Try, class Whole, class Slice>
int rwlock_take(pthread_rwlock_t* l, WaitCall call, HeldKind kind, const void* caller,
                Try&& attempt, Whole&& whole, Slice&& slice) {
  Thread* t = enter();
  if (t == nullptr) return whole();
  if (t->registered) gate::pass(*t, caller);
  put_right(l);
  int result = attempt();
  if (result == EBUSY || result == EAGAIN) {
    trigger::on_block(call, l, caller);
    const Blocking blocking(*t, call, l, caller);
    gate::Park park(*t, caller);
    const auto take = [&] {
      result =
          layout::rwlock_shared(l) ? whole() : sliced<int>(*t, ETIMEDOUT, ETIMEDOUT, whole, slice);
    };
    const auto give_back = [&] {
      if (result == 0) real().pthread_rwlock_unlock(l);
    };
    const auto take_again = [&] {
      if (result == 0) whole();
    };
    while (!park.run(take, give_back, take_again)) {
      put_right(l);
    }
    if (result == 0) {
      park.leave_with(give_back, take_again);
    } else {
      park.leave();
    }
  }
  if (result == 0) note_taken(*t, l, kind);
  return result;
}

template <class Try>
int rwlock_try(pthread_rwlock_t* l, HeldKind kind, Try&& attempt) {
  Thread* t = enter();
  put_right(l);
  const int result = attempt();
  if (t != nullptr && result == 0) note_taken(*t, l, kind);
  return result;
}

template <class Timed>
int rwlock_timed(pthread_rwlock_t* l, WaitCall call, HeldKind kind, const timespec* deadline,
                 const void* caller, Timed&& timed) {
  Thread* t = enter();
  if (t == nullptr) return timed();
  if (t->registered) gate::pass(*t, caller);
  put_right(l);
  const Blocking blocking(*t, call, l, caller, timeout_at(deadline));
  const int result = timed();
  if (result == 0) note_taken(*t, l, kind);
  return result;
}

}  // namespace

int mutex_lock(pthread_mutex_t* m, const void* caller) {
  Thread* t = enter();
  if (t == nullptr) return real().pthread_mutex_lock(m);
  if (t->registered) gate::pass(*t, caller);
  locks::Contended contended = locks::Contended::wait;
  if (t->registered || watch::needed()) {
    const int result = try_lock(m, contended);
    if (FORKMEND_LIKELY(taken(result))) note_taken(*t, m, HeldKind::mutex);
    if (FORKMEND_LIKELY(result != EBUSY)) return result;
  }
  return lock_contended(*t, m, contended, caller);
}

int mutex_trylock(pthread_mutex_t* m) {
  Thread* t = enter();
  locks::Contended unused;
  const int result = try_lock(m, unused);
  if (t != nullptr && taken(result)) note_taken(*t, m, HeldKind::mutex);
  return result;
}

int mutex_clocklock(pthread_mutex_t* m, clockid_t clock, const timespec* deadline,
                    const void* caller) {
  const auto lock = [&] {
    return clock == CLOCK_REALTIME ? real().pthread_mutex_timedlock(m, deadline)
                                   : real().pthread_mutex_clocklock(m, clock, deadline);
  };
  Thread* t = enter();
  if (t == nullptr) return lock();
  if (t->registered) gate::pass(*t, caller);
  locks::Contended contended = locks::Contended::wait;
  if (watch::needed()) {
    const int result = try_lock(m, contended);
    if (taken(result)) note_taken(*t, m, HeldKind::mutex);
    if (result != EBUSY) return result;
  }
  const int result = lock_blocking(*t, m, Timeout::given, caller, contended, [&] {
    return contended == locks::Contended::hopeless ? sleep_until(clock, *deadline) : lock();
  });
  if (taken(result)) note_taken(*t, m, HeldKind::mutex);
  return result;
}

int mutex_unlock(pthread_mutex_t* m) {
  Thread* t = enter();
  // Out of the list first: once it is open another thread may take it and the memory may go.
  if (t != nullptr && t->registered) locks::pop(*t, m);
  if (t != nullptr && watch::needed()) locks::claim(*t, m);
  return real().pthread_mutex_unlock(m);
}

int rwlock_rdlock(pthread_rwlock_t* l, const void* caller) {
  return rwlock_take(
      l, WaitCall::rwlock_rdlock, HeldKind::rwlock_read, caller,
      [&] { return real().pthread_rwlock_tryrdlock(l); },
      [&] { return real().pthread_rwlock_rdlock(l); },
      [&](const timespec& deadline) {
        return real().pthread_rwlock_clockrdlock(l, CLOCK_MONOTONIC, &deadline);
      });
}

int rwlock_wrlock(pthread_rwlock_t* l, const void* caller) {
  return rwlock_take(
      l, WaitCall::rwlock_wrlock, HeldKind::rwlock_write, caller,
      [&] { return real().pthread_rwlock_trywrlock(l); },
      [&] { return real().pthread_rwlock_wrlock(l); },
      [&](const timespec& deadline) {
        return real().pthread_rwlock_clockwrlock(l, CLOCK_MONOTONIC, &deadline);
      });
}

int rwlock_tryrdlock(pthread_rwlock_t* l) {
  return rwlock_try(l, HeldKind::rwlock_read, [&] { return real().pthread_rwlock_tryrdlock(l); });
}

int rwlock_trywrlock(pthread_rwlock_t* l) {
  return rwlock_try(l, HeldKind::rwlock_write, [&] { return real().pthread_rwlock_trywrlock(l); });
}

int rwlock_clockrdlock(pthread_rwlock_t* l, clockid_t clock, const timespec* deadline,
                       const void* caller) {
  return rwlock_timed(l, WaitCall::rwlock_rdlock, HeldKind::rwlock_read, deadline, caller,
                      [&] { return real().pthread_rwlock_clockrdlock(l, clock, deadline); });
}

int rwlock_clockwrlock(pthread_rwlock_t* l, clockid_t clock, const timespec* deadline,
                       const void* caller) {
  return rwlock_timed(l, WaitCall::rwlock_wrlock, HeldKind::rwlock_write, deadline, caller,
                      [&] { return real().pthread_rwlock_clockwrlock(l, clock, deadline); });
}

int rwlock_unlock(pthread_rwlock_t* l) {
  Thread* t = enter();
  if (t != nullptr && t->registered) locks::pop(*t, l);
  if (t != nullptr && watch::needed()) put_right(l);
  return real().pthread_rwlock_unlock(l);
}

int spin_lock(pthread_spinlock_t* s, const void* caller) {
  Thread* t = enter();
  if (t != nullptr && t->registered) gate::pass(*t, caller);
  const int result = real().pthread_spin_lock(s);
  if (t != nullptr) note_taken(*t, const_cast<const int*>(s), HeldKind::spin);
  return result;
}

int spin_trylock(pthread_spinlock_t* s) {
  Thread* t = enter();
  const int result = real().pthread_spin_trylock(s);
  if (t != nullptr && result == 0) note_taken(*t, const_cast<const int*>(s), HeldKind::spin);
  return result;
}

int spin_unlock(pthread_spinlock_t* s) {
  Thread* t = enter();
  if (t != nullptr && t->registered) locks::pop(*t, const_cast<const int*>(s));
  return real().pthread_spin_unlock(s);
}

}  // namespace forkmend::waiting
