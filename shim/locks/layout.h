// What libc's locks look like inside. The one place that knows.
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
bool robust_known();  // the thread's list of robust mutexes
bool rwlock_known();
bool cond_known();
bool sem_known();
bool barrier_known();

// The calling thread's id without a system call: libc writes it into a lock that checks its owner.
// After probe(); not on the child or signal path.
int own_tid();

// Flag of the kind of a mutex with a priority ceiling, and the upper bits of its lock word that
// hold it (glibc's PTHREAD_MUTEX_PRIO_CEILING_MASK).
inline constexpr int kPriorityCeiling = 64;
inline constexpr int kCeiling = static_cast<int>(0xfff80000u);
// glibc's PTHREAD_RWLOCK_READER_SHIFT: below it lie the flags of the reader word.
inline constexpr unsigned kReaderShift = 3;

// The lock word of a mutex: not 0 while it is locked. Of robust and PI ones it holds the owner's
// tid.
FORKMEND_INLINE bool looks_locked(const pthread_mutex_t* m) {
  const int word = __atomic_load_n(&m->__data.__lock, __ATOMIC_RELAXED);
  return (m->__data.__kind & kPriorityCeiling) == 0 ? word != 0 : (word & ~kCeiling) != 0;
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
// Whether libc compares the owner with the calling thread when it is locked or unlocked: recursive
// and errorcheck, robust, PI, priority ceiling.
inline bool mutex_checks_owner(const pthread_mutex_t* m) {
  const int kind = m->__data.__kind;
  const int type = kind & 3;
  return type == PTHREAD_MUTEX_RECURSIVE || type == PTHREAD_MUTEX_ERRORCHECK || (kind & 0x70) != 0;
}
// Opens a mutex whose owner is gone: keeps kind, protocol and attributes. A robust one says so to
// whoever takes it next (EOWNERDEAD), as it would if the owner had died in this process.
void mutex_open(pthread_mutex_t* m);
// Makes `tid` the owner where its thread had the tid `former` when it took the mutex. Robust: only
// for the calling thread, into whose list of robust mutexes it goes.
void mutex_inherit(pthread_mutex_t* m, int former, int tid, bool by_owner);

inline int rwlock_writer(const pthread_rwlock_t* l) {
  return __atomic_load_n(&l->__data.__cur_writer, __ATOMIC_RELAXED);
}
inline bool rwlock_shared(const pthread_rwlock_t* l) { return l->__data.__shared != 0; }
// How many hold it for reading, or wait to.
inline unsigned rwlock_readers(const pthread_rwlock_t* l) {
  return __atomic_load_n(&l->__data.__readers, __ATOMIC_RELAXED) >> kReaderShift;
}
inline bool rwlock_in_write_phase(const pthread_rwlock_t* l) {
  return (__atomic_load_n(&l->__data.__readers, __ATOMIC_RELAXED) & 1) != 0;
}
// Someone waits for it, or it is on its way to someone: it is neither free, nor just held by its
// readers or by its writer.
inline bool rwlock_has_waiters(const pthread_rwlock_t* l) {
  constexpr unsigned kWritePhase = 1, kWriteLocked = 2, kReadersWait = 4;
  const unsigned word = __atomic_load_n(&l->__data.__readers, __ATOMIC_RELAXED);
  if (l->__data.__writers != 0 || (word & kReadersWait) != 0) return true;
  const bool written = (word & kWriteLocked) != 0;
  if (rwlock_writer(l) != 0) return (word >> kReaderShift) != 0;  // they wait for the writer
  return written || ((word & kWritePhase) != 0 && (word >> kReaderShift) != 0);
}
inline void rwlock_inherit(pthread_rwlock_t* l, int tid) {
  __atomic_store_n(&l->__data.__cur_writer, tid, __ATOMIC_RELAXED);
}
// As if it had just been taken by so many readers, or by the writer with that tid; without waiters.
void rwlock_rewrite(pthread_rwlock_t* l, unsigned readers, int writer);

// The value of a spin lock that is free.
int spin_open();

// A condition variable as after pthread_cond_init, with its own clock. Private ones only.
void cond_renew(pthread_cond_t* c);

// Threads that came to a barrier and did not survive are counted as gone from it, so that destroy
// does not wait for them. Nobody else may be inside.
void barrier_forget_waiters(pthread_barrier_t* b);
bool barrier_shared(const pthread_barrier_t* b);

// The flag word moved between 2.36 (offset 36) and 2.41 (28).
bool cond_shared(const pthread_cond_t* c);
// The word behind the value: 0 private, 128 shared (sem_open gives 128).
bool sem_shared(const sem_t* s);

}  // namespace forkmend::layout
