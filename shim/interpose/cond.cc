// Condition variables, POSIX and C11. Signals are noted: a child that waits on a condition variable
// learns from the note which lost thread used to signal it.
#include "shim/exiting/exit.h"
#include "shim/interpose/c11.h"
#include "shim/interpose/interpose.h"
#include "shim/locks/lost_waiters.h"
#include "shim/reviving/forkall.h"
#include "shim/waiting/waits.h"

using namespace forkmend;

FORKMEND_EXPORT int pthread_cond_wait(pthread_cond_t* c, pthread_mutex_t* m) {
  return waiting::cond_wait(c, m, FORKMEND_CALLER);
}

FORKMEND_EXPORT int pthread_cond_timedwait(pthread_cond_t* c, pthread_mutex_t* m,
                                           const timespec* deadline) {
  return waiting::cond_timedwait(c, m, deadline, FORKMEND_CALLER);
}

FORKMEND_EXPORT int pthread_cond_clockwait(pthread_cond_t* c, pthread_mutex_t* m, clockid_t clock,
                                           const timespec* deadline) {
  return waiting::cond_clockwait(c, m, clock, deadline, FORKMEND_CALLER);
}

FORKMEND_EXPORT int pthread_cond_signal(pthread_cond_t* c) {
  return waiting::cond_signal(c, FORKMEND_CALLER);
}

FORKMEND_EXPORT int pthread_cond_broadcast(pthread_cond_t* c) {
  return waiting::cond_broadcast(c, FORKMEND_CALLER);
}

FORKMEND_EXPORT int cnd_wait(cnd_t* c, mtx_t* m) {
  return c11::result(waiting::cond_wait(c11::cond(c), c11::mutex(m), FORKMEND_CALLER));
}

FORKMEND_EXPORT int cnd_timedwait(cnd_t* c, mtx_t* m, const timespec* deadline) {
  return c11::result(
      waiting::cond_timedwait(c11::cond(c), c11::mutex(m), deadline, FORKMEND_CALLER));
}

FORKMEND_EXPORT int cnd_signal(cnd_t* c) {
  return c11::result(waiting::cond_signal(c11::cond(c), FORKMEND_CALLER));
}

FORKMEND_EXPORT int cnd_broadcast(cnd_t* c) {
  return c11::result(waiting::cond_broadcast(c11::cond(c), FORKMEND_CALLER));
}

// In a child an object that is made anew is one of the library's own making, and who waited on the
// old one is nobody's any more.
FORKMEND_EXPORT int pthread_cond_init(pthread_cond_t* c, const pthread_condattr_t* attributes) {
  forkall::on_init(c);
  return real().pthread_cond_init(c, attributes);
}

FORKMEND_EXPORT int cnd_init(cnd_t* c) {
  forkall::on_init(c);
  return real().cnd_init(c);
}

FORKMEND_EXPORT int pthread_cond_destroy(pthread_cond_t* c) {
  if (exiting::holding.load(std::memory_order_relaxed) && exiting::abandons(c)) return 0;
  locks::forget_lost_waiters(c);
  return real().pthread_cond_destroy(c);
}

FORKMEND_EXPORT void cnd_destroy(cnd_t* c) {
  locks::forget_lost_waiters(c11::cond(c));
  real().cnd_destroy(c);
}
