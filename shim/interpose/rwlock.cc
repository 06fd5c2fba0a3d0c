// Read-write locks. They have no lock word that is 0 when free for every state, so a contended one
// leaves no record while all is quiet.
#include "shim/interpose/interpose.h"
#include "shim/waiting/locks.h"

using namespace forkmend;

FORKMEND_EXPORT int pthread_rwlock_rdlock(pthread_rwlock_t* l) {
  if (quiet()) return real_functions.pthread_rwlock_rdlock(l);
  return waiting::rwlock_rdlock(l, FORKMEND_CALLER);
}

FORKMEND_EXPORT int pthread_rwlock_tryrdlock(pthread_rwlock_t* l) {
  if (quiet()) return real_functions.pthread_rwlock_tryrdlock(l);
  return waiting::rwlock_tryrdlock(l);
}

FORKMEND_EXPORT int pthread_rwlock_timedrdlock(pthread_rwlock_t* l, const timespec* deadline) {
  if (quiet()) return real_functions.pthread_rwlock_clockrdlock(l, CLOCK_REALTIME, deadline);
  return waiting::rwlock_clockrdlock(l, CLOCK_REALTIME, deadline, FORKMEND_CALLER);
}

FORKMEND_EXPORT int pthread_rwlock_clockrdlock(pthread_rwlock_t* l, clockid_t clock,
                                               const timespec* deadline) {
  if (quiet()) return real_functions.pthread_rwlock_clockrdlock(l, clock, deadline);
  return waiting::rwlock_clockrdlock(l, clock, deadline, FORKMEND_CALLER);
}

FORKMEND_EXPORT int pthread_rwlock_wrlock(pthread_rwlock_t* l) {
  if (quiet()) return real_functions.pthread_rwlock_wrlock(l);
  return waiting::rwlock_wrlock(l, FORKMEND_CALLER);
}

FORKMEND_EXPORT int pthread_rwlock_trywrlock(pthread_rwlock_t* l) {
  if (quiet()) return real_functions.pthread_rwlock_trywrlock(l);
  return waiting::rwlock_trywrlock(l);
}

FORKMEND_EXPORT int pthread_rwlock_timedwrlock(pthread_rwlock_t* l, const timespec* deadline) {
  if (quiet()) return real_functions.pthread_rwlock_clockwrlock(l, CLOCK_REALTIME, deadline);
  return waiting::rwlock_clockwrlock(l, CLOCK_REALTIME, deadline, FORKMEND_CALLER);
}

FORKMEND_EXPORT int pthread_rwlock_clockwrlock(pthread_rwlock_t* l, clockid_t clock,
                                               const timespec* deadline) {
  if (quiet()) return real_functions.pthread_rwlock_clockwrlock(l, clock, deadline);
  return waiting::rwlock_clockwrlock(l, clock, deadline, FORKMEND_CALLER);
}

FORKMEND_EXPORT int pthread_rwlock_unlock(pthread_rwlock_t* l) {
  if (quiet()) return real_functions.pthread_rwlock_unlock(l);
  return waiting::rwlock_unlock(l);
}
