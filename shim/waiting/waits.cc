#include "shim/waiting/waits.h"

#include <type_traits>

#include "shim/base/mapping.h"
#include "shim/base/real.h"
#include "shim/base/syscall.h"
#include "shim/forking/gate.h"
#include "shim/locks/held.h"
#include "shim/locks/layout.h"
#include "shim/locks/lost_waiters.h"
#include "shim/locks/orphan.h"
#include "shim/reviving/forkall.h"
#include "shim/reviving/trigger.h"
#include "shim/threads/lost.h"
#include "shim/threads/stacks.h"
#include "shim/waiting/blocking.h"
#include "shim/waiting/cond_queue.h"
#include "shim/waiting/handover.h"
#include "shim/waiting/restart.h"

namespace forkmend::waiting {
namespace {

// What a wait comes to in a child where its thread was resumed: the value the caller sees, or none:
// the wait is made again.
struct Again {};

// What a wait took and can give back while the gate is closed: bool give_back(result). Most take
// nothing.
struct Nothing {
  template <class Result>
  bool operator()(Result) const {
    return false;
  }
};

// A wait that holds nothing of its own: recorded, and parked while blocked.
template <class Call, class Resumed, class GiveBack = Nothing>
FORKMEND_INLINE auto plain(WaitCall call, const void* object, Timeout timeout, const void* caller,
                           Call&& function, Resumed&& resumed, const GiveBack& give_back = {}) {
  Thread* t = enter();
  if (t == nullptr) return function();
  trigger::on_block(call, object, caller);
  const Blocking blocking(*t, call, object, caller, timeout);
  gate::Park park(*t, caller);
  decltype(function()) result;
  bool given_back = false;
  const auto wait = [&] { result = function(); };
  const auto give = [&] { given_back = give_back(result); };
  const auto again = [&] {
    if (given_back) wait();
  };
  while (!park.run(wait, give, again)) {
    if constexpr (!std::is_same_v<std::remove_cvref_t<Resumed>, Again>) {
      result = resumed();
      break;
    }
  }
  if (park) {
    const int error = errno;
    park.leave();
    errno = error;
  }
  return result;
}

int interrupted() {
  errno = EINTR;
  return -1;
}

Timeout from_milliseconds(int ms) { return ms < 0 ? Timeout::none : Timeout::given; }
const void* descriptor(int fd) { return reinterpret_cast<const void*>(static_cast<long>(fd)); }

// A condition variable's wait: the mutex is not held meanwhile, and is given back while the thread
// stands at the gate.
template <class Call>
FORKMEND_INLINE int wait_cond(pthread_cond_t* c, pthread_mutex_t* m, Timeout timeout,
                              const void* caller, Call&& function) {
  Thread* t = enter();
  locks::forget_lost_waiters(c);
  if (t == nullptr) return function(nullptr);
  trigger::on_block(WaitCall::cond_wait, c, caller);
  if (t->registered) locks::pop(*t, m);
  if (watch::needed()) locks::claim(*t, m);  // libc's wait unlocks it from inside
  int result;
  {
    const Blocking blocking(*t, WaitCall::cond_wait, c, caller, timeout, m);
    gate::Park park(*t, caller);
    const auto unlock = [&] { real().pthread_mutex_unlock(m); };
    const auto lock = [&] { real().pthread_mutex_lock(m); };
    if (!park.run([&] { result = function(t); }, unlock, lock)) {
      locks::take_back(*t, m);
      result = 0;  // a spurious wakeup
    }
    park.leave_with(unlock, lock);
  }
  if (t->registered) locks::push(*t, m, HeldKind::mutex);
  return result;
}

int sem_slice(sem_t* s, const timespec& deadline) {
  for (;;) {
    if (real().sem_clockwait(s, CLOCK_MONOTONIC, &deadline) == 0) return 0;
    if (errno != EINTR || !restart::would_restart()) return errno;
  }
}

bool is_futex_wait(long operation) {
  const long command = operation & FUTEX_CMD_MASK;
  return command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET;
}

// FUTEX_WAIT takes a relative time-out, FUTEX_WAIT_BITSET an absolute one; both by CLOCK_MONOTONIC
// unless FUTEX_CLOCK_REALTIME is set, which slices leave out.
long futex_slice(long word, long operation, long value, const timespec& deadline, long mask) {
  const long command = operation & ~static_cast<long>(FUTEX_CLOCK_REALTIME);
  timespec timeout = deadline;
  if ((operation & FUTEX_CMD_MASK) == FUTEX_WAIT) {
    const Nanoseconds left = to_nanoseconds(deadline) - now();
    timeout = to_timespec(left > 0 ? left : 0);
  }
  long result;
  do {
    result = sys::call(SYS_futex, word, command, value, sys::arg(&timeout), 0, mask);
  } while (result == -EINTR && restart::would_restart());
  return result;
}

// FUTEX_WAKE_OP wakes waiters of two words; FUTEX_REQUEUE moves waiters to another word, which for
// one that is lost can only be a wake-up.
void note_futex_wake(long word, long command, long value, long more, long second,
                     const void* caller) {
  const auto address = [](long a) { return reinterpret_cast<const void*>(a); };
  const auto number = [](long n) { return static_cast<int>(n); };
  switch (command) {
    case FUTEX_WAKE:
    case FUTEX_WAKE_BITSET:
      return handover::note(address(word), caller, true, number(value));
    case FUTEX_WAKE_OP:
      handover::note(address(word), caller, true, number(value));
      return handover::note(address(second), caller, true, number(more));
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
      return handover::note(address(word), caller, true, handover::kAll);
    default:
      return;
  }
}

long futex_wait(long word, long operation, long value, long timeout, long second, long mask,
                const void* caller) {
  const auto whole = [&]() -> long {  // through libc: another preload may stand behind us
    const long result = real().syscall(SYS_futex, word, operation, value, timeout, second, mask);
    return result < 0 ? -errno : result;
  };
  Thread* t = enter();
  if (t == nullptr) return whole();
  if (t->registered) gate::pass(*t, caller);
  const Timeout limit = timeout == 0 ? Timeout::none : Timeout::given;
  trigger::on_block(WaitCall::futex, reinterpret_cast<const void*>(word), caller);
  const Blocking blocking(*t, WaitCall::futex, reinterpret_cast<const void*>(word), caller, limit);
  gate::Park park(*t, caller);
  // libstdc++ never says that a futex is private: the mapping tells, if the wait is a long one.
  const bool may_be_shared = (operation & FUTEX_PRIVATE_FLAG) == 0;
  bool begun = false;
  long result;
  const auto wait = [&] {
    if (limit == Timeout::given) {
      result = whole();
      return;
    }
    result = sliced<long>(*t, -ETIMEDOUT, -EINTR, whole, [&](const timespec& deadline) -> long {
      if (begun && may_be_shared && in_shared_memory(reinterpret_cast<const void*>(word)))
        return whole();
      const long ended = futex_slice(word, operation, value, deadline, mask);
      // A word that changed between two slices: to the caller this wait had begun long before.
      const bool woken = begun && ended == -EAGAIN;
      begun = true;
      return woken ? 0 : ended;
    });
  };
  if (!park.run(wait)) result = -EINTR;
  park.leave();
  return result;
}

auto post_again(sem_t* s) {
  return [s](int result) { return result == 0 && real().sem_post(s) == 0; };
}

// What every form of join does around its own call: a lost thread is settled without it.
template <class Call>
int join_by(pthread_t thread, void** result, const void* caller, Call&& call) {
  enter();
  trigger::on_block(WaitCall::join, reinterpret_cast<const void*>(thread), caller);
  if (forkall::any()) forkall::acts_on(thread);
  int error = 0;
  if (threads::settle_lost(thread, result, error)) return error;
  error = call();
  if (error == 0) threads::stacks::joined(thread);
  return error;
}

}  // namespace

int cond_wait(pthread_cond_t* c, pthread_mutex_t* m, const void* caller) {
  return wait_cond(c, m, Timeout::none, caller, [&](Thread* t) {
    const bool whole = t == nullptr || !watch::needed() || t->watch.slicing ||
                       !layout::cond_known() || layout::cond_shared(c);
    return whole ? real().pthread_cond_wait(c, m) : cond_queue::wait(*t, c, m);
  });
}

int cond_signal(pthread_cond_t* c, const void* caller) {
  handover::note(c, caller, false);
  locks::forget_lost_waiters(c);
  return cond_queue::signal(c) ? 0 : real().pthread_cond_signal(c);
}

int cond_broadcast(pthread_cond_t* c, const void* caller) {
  handover::note(c, caller, false, handover::kAll);
  locks::forget_lost_waiters(c);
  cond_queue::broadcast(c);
  return real().pthread_cond_broadcast(c);
}

int cond_timedwait(pthread_cond_t* c, pthread_mutex_t* m, const timespec* deadline,
                   const void* caller) {
  return wait_cond(c, m, Timeout::given, caller,
                   [&](Thread*) { return real().pthread_cond_timedwait(c, m, deadline); });
}

int cond_clockwait(pthread_cond_t* c, pthread_mutex_t* m, clockid_t clock, const timespec* deadline,
                   const void* caller) {
  return wait_cond(c, m, Timeout::given, caller,
                   [&](Thread*) { return real().pthread_cond_clockwait(c, m, clock, deadline); });
}

int sem_wait(sem_t* s, const void* caller) {
  return plain(
      WaitCall::sem_wait, s, Timeout::none, caller,
      [&] {
        Thread* t = threads::self();
        if (t == nullptr || !watch::needed() || layout::sem_shared(s)) return real().sem_wait(s);
        const int error = sliced<int>(
            *t, ETIMEDOUT, EINTR, [&] { return real().sem_wait(s) == 0 ? 0 : errno; },
            [&](const timespec& deadline) { return sem_slice(s, deadline); });
        if (error == 0) return 0;
        errno = error;
        return -1;
      },
      Again(), post_again(s));
}

int sem_timedwait(sem_t* s, const timespec* deadline, const void* caller) {
  return plain(
      WaitCall::sem_wait, s, Timeout::given, caller,
      [&] { return real().sem_timedwait(s, deadline); }, Again(), post_again(s));
}

int sem_clockwait(sem_t* s, clockid_t clock, const timespec* deadline, const void* caller) {
  return plain(
      WaitCall::sem_wait, s, Timeout::given, caller,
      [&] { return real().sem_clockwait(s, clock, deadline); }, Again(), post_again(s));
}

int join(pthread_t thread, void** result, const void* caller) {
  return join_by(thread, result, caller, [&] {
    return plain(
        WaitCall::join, reinterpret_cast<const void*>(thread), Timeout::none, caller,
        [&] {
          Thread* t = threads::self();
          if (t == nullptr || !watch::needed()) return real().pthread_join(thread, result);
          return sliced<int>(
              *t, ETIMEDOUT, ETIMEDOUT, [&] { return real().pthread_join(thread, result); },
              [&](const timespec& deadline) {
                return real().pthread_clockjoin_np(thread, result, CLOCK_MONOTONIC, &deadline);
              });
        },
        Again());
  });
}

int try_join(pthread_t thread, void** result, const void* caller) {
  return join_by(thread, result, caller, [&] { return real().pthread_tryjoin_np(thread, result); });
}

int clock_join(pthread_t thread, void** result, clockid_t clock, const timespec* deadline,
               const void* caller) {
  return join_by(thread, result, caller, [&] {
    return plain(
        WaitCall::join, reinterpret_cast<const void*>(thread), timeout_at(deadline), caller,
        [&] { return real().pthread_clockjoin_np(thread, result, clock, deadline); }, Again());
  });
}

int barrier_wait(pthread_barrier_t* b, const void* caller) {
  // glibc has no timed form, so it cannot be taken in slices: recorded only.
  locks::forget_lost_waiters(b);
  return plain(
      WaitCall::barrier_wait, b, Timeout::none, caller,
      [&] { return real().pthread_barrier_wait(b); }, Again());
}

long futex(long word, long operation, long value, long timeout, long second, long mask,
           const void* caller) {
  if (!is_futex_wait(operation)) {
    note_futex_wake(word, operation & FUTEX_CMD_MASK, value, timeout, second, caller);
    return real().syscall(SYS_futex, word, operation, value, timeout, second, mask);
  }
  const long result = futex_wait(word, operation, value, timeout, second, mask, caller);
  if (result >= 0) return result;
  errno = static_cast<int>(-result);
  return -1;
}

int epoll_wait(int fd, epoll_event* events, int count, int timeout_ms, const void* caller) {
  return plain(
      WaitCall::epoll_wait, descriptor(fd), from_milliseconds(timeout_ms), caller,
      [&] { return real().epoll_wait(fd, events, count, timeout_ms); }, interrupted);
}

int epoll_pwait(int fd, epoll_event* events, int count, int timeout_ms, const sigset_t* mask,
                const void* caller) {
  return plain(
      WaitCall::epoll_wait, descriptor(fd), from_milliseconds(timeout_ms), caller,
      [&] { return real().epoll_pwait(fd, events, count, timeout_ms, mask); }, interrupted);
}

int poll(pollfd* fds, nfds_t count, int timeout_ms, const void* caller) {
  return plain(
      WaitCall::poll, nullptr, from_milliseconds(timeout_ms), caller,
      [&] { return real().poll(fds, count, timeout_ms); }, interrupted);
}

int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask,
          const void* caller) {
  return plain(
      WaitCall::poll, nullptr, timeout_at(timeout), caller,
      [&] { return real().ppoll(fds, count, timeout, mask); }, interrupted);
}

int select(int count, fd_set* in, fd_set* out, fd_set* except, timeval* timeout,
           const void* caller) {
  return plain(
      WaitCall::select, nullptr, timeout_at(timeout), caller,
      [&] { return real().select(count, in, out, except, timeout); }, interrupted);
}

int pselect(int count, fd_set* in, fd_set* out, fd_set* except, const timespec* timeout,
            const sigset_t* mask, const void* caller) {
  return plain(
      WaitCall::select, nullptr, timeout_at(timeout), caller,
      [&] { return real().pselect(count, in, out, except, timeout, mask); }, interrupted);
}

int nanosleep(const timespec* time, timespec* left, const void* caller) {
  return plain(
      WaitCall::sleep, nullptr, Timeout::given, caller,
      [&] { return real().nanosleep(time, left); },
      [&] {
        if (left != nullptr) *left = *time;
        return interrupted();
      });
}

int clock_nanosleep(clockid_t clock, int flags, const timespec* time, timespec* left,
                    const void* caller) {
  return plain(
      WaitCall::sleep, nullptr, Timeout::given, caller,
      [&] { return real().clock_nanosleep(clock, flags, time, left); },
      [&] {
        if (left != nullptr && (flags & TIMER_ABSTIME) == 0) *left = *time;
        return EINTR;
      });
}

int usleep(useconds_t time, const void* caller) {
  return plain(
      WaitCall::sleep, nullptr, Timeout::given, caller, [&] { return real().usleep(time); },
      interrupted);
}

unsigned sleep(unsigned seconds, const void* caller) {
  return plain(
      WaitCall::sleep, nullptr, Timeout::given, caller, [&] { return real().sleep(seconds); },
      [&] { return seconds; });
}

}  // namespace forkmend::waiting
