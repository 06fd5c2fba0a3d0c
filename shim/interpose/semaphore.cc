// Semaphores and barriers.
#include "shim/interpose/interpose.h"
#include "shim/locks/lost_waiters.h"
#include "shim/reviving/forkall.h"
#include "shim/waiting/handover.h"
#include "shim/waiting/waits.h"

using namespace forkmend;

FORKMEND_EXPORT int sem_wait(sem_t* s) { return waiting::sem_wait(s, FORKMEND_CALLER); }

FORKMEND_EXPORT int sem_timedwait(sem_t* s, const timespec* deadline) {
  return waiting::sem_timedwait(s, deadline, FORKMEND_CALLER);
}

FORKMEND_EXPORT int sem_clockwait(sem_t* s, clockid_t clock, const timespec* deadline) {
  return waiting::sem_clockwait(s, clock, deadline, FORKMEND_CALLER);
}

FORKMEND_EXPORT int sem_init(sem_t* s, int shared, unsigned value) {
  forkall::on_init(s);
  return real().sem_init(s, shared, value);
}

FORKMEND_EXPORT int sem_post(sem_t* s) {
  handover::note(s, FORKMEND_CALLER, true);
  return real().sem_post(s);
}

FORKMEND_EXPORT int pthread_barrier_wait(pthread_barrier_t* b) {
  return waiting::barrier_wait(b, FORKMEND_CALLER);
}

FORKMEND_EXPORT int pthread_barrier_destroy(pthread_barrier_t* b) {
  locks::forget_lost_waiters(b);
  return real().pthread_barrier_destroy(b);
}
