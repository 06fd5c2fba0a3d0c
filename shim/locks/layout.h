// What libc's locks look like inside. The one place that knows (DESIGN rule 3).
//
// Promises: every offset is checked against a lock made for the purpose before it is used; where
// the check fails, the accessors say "unknown" and the features that need them are off, with one
// line in the report. The offsets are those of the public static initialisers
// (PTHREAD_MUTEX_INITIALIZER), which glibc cannot change.
#pragma once

#include <pthread.h>
#include <semaphore.h>

#include <cstdint>

#include "shim/base/compiler.h"
#include "shim/base/mapping.h"

namespace forkmend::layout {

// Result of the probe: first use decides. Not on the child or signal path before that.
void probe();
bool mutex_known();
bool cond_known();
bool sem_known();

// The lock word of a mutex: not 0 while it is locked. Valid for all types but PI with an odd owner,
// where it is not 0 either.
FORKMEND_INLINE bool looks_locked(const pthread_mutex_t* m) {
  return __atomic_load_n(&m->__data.__lock, __ATOMIC_RELAXED) != 0;
}
inline int mutex_owner(const pthread_mutex_t* m) {
  return __atomic_load_n(&m->__data.__owner, __ATOMIC_RELAXED);
}
// PTHREAD_PROCESS_SHARED: flag 128 of the kind. glibc sets it for every robust mutex too
// (pthread_mutex_init.c): of those the mapping tells.
inline bool mutex_shared(const pthread_mutex_t* m) {
  if ((m->__data.__kind & 128) == 0) return false;
  return (m->__data.__kind & 16) == 0 || in_shared_memory(m);
}
// Priority inheritance (flag 32): the kernel keeps its state; a slice by another clock is refused.
inline bool mutex_inherits_priority(const pthread_mutex_t* m) {
  return (m->__data.__kind & 32) != 0;
}
inline bool mutex_robust(const pthread_mutex_t* m) { return (m->__data.__kind & 16) != 0; }
// Opens a mutex whose owner is gone: keeps kind, protocol and attributes.
inline void mutex_open(pthread_mutex_t* m) {
  m->__data.__owner = 0;
  m->__data.__count = 0;
  m->__data.__nusers = 0;
  __atomic_store_n(&m->__data.__lock, 0, __ATOMIC_RELEASE);
}

inline int rwlock_writer(const pthread_rwlock_t* l) {
  return __atomic_load_n(&l->__data.__cur_writer, __ATOMIC_RELAXED);
}
inline bool rwlock_shared(const pthread_rwlock_t* l) { return l->__data.__shared != 0; }

// The flag word moved between 2.36 (offset 36) and 2.41 (28).
bool cond_shared(const pthread_cond_t* c);
// The word behind the value: 0 private, 128 shared (sem_open gives 128).
bool sem_shared(const sem_t* s);

}  // namespace forkmend::layout
