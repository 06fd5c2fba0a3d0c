// C11 threads are POSIX threads in glibc: mtx_t is a pthread_mutex_t, cnd_t a pthread_cond_t (its
// nptl/mtx_lock.c casts in the same way); only the results have other names (nptl/thrd_priv.h).
#pragma once

#include <errno.h>
#include <pthread.h>
#include <threads.h>

namespace forkmend::c11 {

inline pthread_mutex_t* mutex(mtx_t* m) { return reinterpret_cast<pthread_mutex_t*>(m); }
inline pthread_cond_t* cond(cnd_t* c) { return reinterpret_cast<pthread_cond_t*>(c); }

inline int result(int error) {
  switch (error) {
    case 0:
      return thrd_success;
    case ENOMEM:
      return thrd_nomem;
    case ETIMEDOUT:
      return thrd_timedout;
    case EBUSY:
      return thrd_busy;
    default:
      return thrd_error;
  }
}

}  // namespace forkmend::c11
