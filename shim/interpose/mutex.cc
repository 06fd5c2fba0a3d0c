// Mutexes, POSIX and C11. A look at the lock word, to record what a contended lock waits for also
// while all is quiet, cost 12 % of every lock with several threads: the parent asks the kernel
// before a fork instead (threads/unrecorded.h).
#include "shim/interpose/c11.h"
#include "shim/interpose/interpose.h"
#include "shim/locks/layout.h"
#include "shim/reviving/forkall.h"
#include "shim/waiting/locks.h"

using namespace forkmend;

FORKMEND_EXPORT int pthread_mutex_init(pthread_mutex_t* m, const pthread_mutexattr_t* attributes) {
  forkall::on_init(m);
  return real().pthread_mutex_init(m, attributes);
}

FORKMEND_EXPORT int mtx_init(mtx_t* m, int type) {
  forkall::on_init(m);
  return real().mtx_init(m, type);
}

FORKMEND_EXPORT int pthread_mutex_lock(pthread_mutex_t* m) {
  if (quiet()) return real_functions.pthread_mutex_lock(m);
  return waiting::mutex_lock(m, FORKMEND_CALLER);
}

FORKMEND_EXPORT int pthread_mutex_trylock(pthread_mutex_t* m) {
  if (quiet()) return real_functions.pthread_mutex_trylock(m);
  return waiting::mutex_trylock(m);
}

FORKMEND_EXPORT int pthread_mutex_timedlock(pthread_mutex_t* m, const timespec* deadline) {
  if (quiet()) return real_functions.pthread_mutex_timedlock(m, deadline);
  return waiting::mutex_clocklock(m, CLOCK_REALTIME, deadline, FORKMEND_CALLER);
}

FORKMEND_EXPORT int pthread_mutex_clocklock(pthread_mutex_t* m, clockid_t clock,
                                            const timespec* deadline) {
  if (quiet()) return real_functions.pthread_mutex_clocklock(m, clock, deadline);
  return waiting::mutex_clocklock(m, clock, deadline, FORKMEND_CALLER);
}

FORKMEND_EXPORT int pthread_mutex_unlock(pthread_mutex_t* m) {
  if (quiet()) return real_functions.pthread_mutex_unlock(m);
  return waiting::mutex_unlock(m);
}

FORKMEND_EXPORT int mtx_lock(mtx_t* m) {
  if (quiet()) return real_functions.mtx_lock(m);
  return c11::result(waiting::mutex_lock(c11::mutex(m), FORKMEND_CALLER));
}

FORKMEND_EXPORT int mtx_trylock(mtx_t* m) {
  if (quiet()) return real_functions.mtx_trylock(m);
  return c11::result(waiting::mutex_trylock(c11::mutex(m)));
}

FORKMEND_EXPORT int mtx_timedlock(mtx_t* m, const timespec* deadline) {
  if (quiet()) return real_functions.mtx_timedlock(m, deadline);
  return c11::result(
      waiting::mutex_clocklock(c11::mutex(m), CLOCK_REALTIME, deadline, FORKMEND_CALLER));
}

FORKMEND_EXPORT int mtx_unlock(mtx_t* m) {
  if (quiet()) return real_functions.mtx_unlock(m);
  return c11::result(waiting::mutex_unlock(c11::mutex(m)));
}
