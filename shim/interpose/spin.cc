// Spin locks.
#include "shim/interpose/interpose.h"
#include "shim/waiting/locks.h"

using namespace forkmend;

FORKMEND_EXPORT int pthread_spin_lock(pthread_spinlock_t* s) {
  if (quiet()) return real_functions.pthread_spin_lock(s);
  return waiting::spin_lock(s, FORKMEND_CALLER);
}

FORKMEND_EXPORT int pthread_spin_trylock(pthread_spinlock_t* s) {
  if (quiet()) return real_functions.pthread_spin_trylock(s);
  return waiting::spin_trylock(s);
}

FORKMEND_EXPORT int pthread_spin_unlock(pthread_spinlock_t* s) {
  if (quiet()) return real_functions.pthread_spin_unlock(s);
  return waiting::spin_unlock(s);
}
