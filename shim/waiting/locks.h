// Waiting for locks: mutexes, read-write locks, spin locks, POSIX and C11.
//
// Promises: the slow path of the interposers. For threads of registered runtimes: the gate, and the
// list of held locks. For all: the wait record, and in a process with lost threads the watch.
// Parameters and results are those of the POSIX function of the same name; `caller` is the address
// of the call.
#pragma once

#include <pthread.h>
#include <time.h>

namespace forkmend::waiting {

int mutex_lock(pthread_mutex_t* m, const void* caller);
int mutex_trylock(pthread_mutex_t* m);
int mutex_clocklock(pthread_mutex_t* m, clockid_t clock, const timespec* deadline,
                    const void* caller);
int mutex_unlock(pthread_mutex_t* m);

int rwlock_rdlock(pthread_rwlock_t* l, const void* caller);
int rwlock_wrlock(pthread_rwlock_t* l, const void* caller);
int rwlock_tryrdlock(pthread_rwlock_t* l);
int rwlock_trywrlock(pthread_rwlock_t* l);
int rwlock_clockrdlock(pthread_rwlock_t* l, clockid_t clock, const timespec* deadline,
                       const void* caller);
int rwlock_clockwrlock(pthread_rwlock_t* l, clockid_t clock, const timespec* deadline,
                       const void* caller);
int rwlock_unlock(pthread_rwlock_t* l);

// A thread that spins runs: it is neither parked nor watched.
int spin_lock(pthread_spinlock_t* s, const void* caller);
int spin_trylock(pthread_spinlock_t* s);
int spin_unlock(pthread_spinlock_t* s);

}  // namespace forkmend::waiting
