// libc's own functions, behind our interposers.
//
// Promises: each pointer can be called from the first instruction on: other libraries' constructors
// call interposed functions before ours has run (stress-ng). Versions are
// named where an older symbol has another layout (sanitizers#465: a wrong condvar version hangs).
// Does not: allocate. dlsym itself may: in error paths, which present symbols never reach, and
// before glibc 2.34 once a thread (real.cc says what is done about the recursion).
#pragma once

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <termios.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include "shim/base/compiler.h"

struct dl_phdr_info;
struct dl_find_object;

namespace forkmend {

using SyscallFn = long (*)(long, long, long, long, long, long, long);

// name, return type, parameters, version (nullptr: the default one). One line per symbol.
// clang-format off
#define FORKMEND_REAL_FUNCTIONS(X)                                                                 \
  X(pthread_create, int, (pthread_t*, const pthread_attr_t*, void* (*)(void*), void*), nullptr)    \
  X(pthread_join, int, (pthread_t, void**), nullptr)                                               \
  X(pthread_sigmask, int, (int, const sigset_t*, sigset_t*), nullptr)                              \
  X(pthread_tryjoin_np, int, (pthread_t, void**), nullptr)                                         \
  X(pthread_timedjoin_np, int, (pthread_t, void**, const timespec*), nullptr)                      \
  X(pthread_clockjoin_np, int, (pthread_t, void**, clockid_t, const timespec*), nullptr)           \
  X(pthread_detach, int, (pthread_t), nullptr)                                                     \
  X(pthread_kill, int, (pthread_t, int), nullptr)                                                  \
  X(pthread_cancel, int, (pthread_t), nullptr)                                                     \
  X(pthread_setname_np, int, (pthread_t, const char*), nullptr)                                    \
  X(pthread_getattr_np, int, (pthread_t, pthread_attr_t*), nullptr)                                \
  X(pthread_exit, void, (void*), nullptr)                                                          \
  X(thrd_create, int, (thrd_t*, thrd_start_t, void*), nullptr)                                     \
  X(thrd_join, int, (thrd_t, int*), nullptr)                                                       \
  X(thrd_detach, int, (thrd_t), nullptr)                                                           \
  X(__cxa_thread_atexit_impl, int, (void (*)(void*), void*, void*), nullptr)                       \
  X(pthread_mutex_init, int, (pthread_mutex_t*, const pthread_mutexattr_t*), nullptr)              \
  X(mtx_init, int, (mtx_t*, int), nullptr)                                                         \
  X(pthread_cond_init, int, (pthread_cond_t*, const pthread_condattr_t*), kCondVersion)            \
  X(cnd_init, int, (cnd_t*), nullptr)                                                              \
  X(sem_init, int, (sem_t*, int, unsigned), nullptr)                                               \
  X(__register_atfork, int, (void (*)(), void (*)(), void (*)(), void*), nullptr)                  \
  X(pthread_mutex_lock, int, (pthread_mutex_t*), nullptr)                                          \
  X(pthread_mutex_trylock, int, (pthread_mutex_t*), nullptr)                                       \
  X(pthread_mutex_timedlock, int, (pthread_mutex_t*, const timespec*), nullptr)                    \
  X(pthread_mutex_clocklock, int, (pthread_mutex_t*, clockid_t, const timespec*), nullptr)         \
  X(pthread_mutex_unlock, int, (pthread_mutex_t*), nullptr)                                        \
  X(mtx_lock, int, (mtx_t*), nullptr)                                                              \
  X(mtx_trylock, int, (mtx_t*), nullptr)                                                           \
  X(mtx_timedlock, int, (mtx_t*, const timespec*), nullptr)                                        \
  X(mtx_unlock, int, (mtx_t*), nullptr)                                                            \
  X(pthread_rwlock_rdlock, int, (pthread_rwlock_t*), nullptr)                                      \
  X(pthread_rwlock_tryrdlock, int, (pthread_rwlock_t*), nullptr)                                   \
  X(pthread_rwlock_clockrdlock, int, (pthread_rwlock_t*, clockid_t, const timespec*), nullptr)     \
  X(pthread_rwlock_wrlock, int, (pthread_rwlock_t*), nullptr)                                      \
  X(pthread_rwlock_trywrlock, int, (pthread_rwlock_t*), nullptr)                                   \
  X(pthread_rwlock_clockwrlock, int, (pthread_rwlock_t*, clockid_t, const timespec*), nullptr)     \
  X(pthread_rwlock_unlock, int, (pthread_rwlock_t*), nullptr)                                      \
  X(pthread_spin_lock, int, (pthread_spinlock_t*), nullptr)                                        \
  X(pthread_spin_trylock, int, (pthread_spinlock_t*), nullptr)                                     \
  X(pthread_spin_unlock, int, (pthread_spinlock_t*), nullptr)                                      \
  X(pthread_cond_wait, int, (pthread_cond_t*, pthread_mutex_t*), kCondVersion)                     \
  X(pthread_cond_timedwait, int, (pthread_cond_t*, pthread_mutex_t*, const timespec*), kCondVersion) \
  X(pthread_cond_clockwait, int, (pthread_cond_t*, pthread_mutex_t*, clockid_t, const timespec*), nullptr) \
  X(pthread_cond_signal, int, (pthread_cond_t*), kCondVersion)                                     \
  X(pthread_cond_broadcast, int, (pthread_cond_t*), kCondVersion)                                  \
  X(pthread_cond_destroy, int, (pthread_cond_t*), kCondVersion)                                    \
  X(cnd_wait, int, (cnd_t*, mtx_t*), nullptr)                                                      \
  X(cnd_timedwait, int, (cnd_t*, mtx_t*, const timespec*), nullptr)                                \
  X(cnd_signal, int, (cnd_t*), nullptr)                                                            \
  X(cnd_broadcast, int, (cnd_t*), nullptr)                                                         \
  X(pthread_barrier_wait, int, (pthread_barrier_t*), nullptr)                                      \
  X(cnd_destroy, void, (cnd_t*), nullptr)                                                          \
  X(pthread_barrier_destroy, int, (pthread_barrier_t*), nullptr)                                   \
  X(pthread_once, int, (pthread_once_t*, void (*)()), nullptr)                                     \
  X(sem_wait, int, (sem_t*), nullptr)                                                              \
  X(sem_timedwait, int, (sem_t*, const timespec*), nullptr)                                        \
  X(sem_clockwait, int, (sem_t*, clockid_t, const timespec*), nullptr)                             \
  X(sem_post, int, (sem_t*), nullptr)                                                              \
  X(syscall, long, (long, long, long, long, long, long, long), nullptr)                            \
  X(write, ssize_t, (int, const void*, size_t), nullptr)                                           \
  X(epoll_create, int, (int), nullptr)                                                             \
  X(epoll_create1, int, (int), nullptr)                                                            \
  X(eventfd, int, (unsigned, int), nullptr)                                                        \
  X(timerfd_create, int, (int, int), nullptr)                                                      \
  X(pipe, int, (int*), nullptr)                                                                    \
  X(pipe2, int, (int*, int), nullptr)                                                              \
  X(socketpair, int, (int, int, int, int*), nullptr)                                               \
  X(connect, int, (int, const sockaddr*, socklen_t), nullptr)                                      \
  X(epoll_wait, int, (int, epoll_event*, int, int), nullptr)                                       \
  X(epoll_pwait, int, (int, epoll_event*, int, int, const sigset_t*), nullptr)                     \
  X(poll, int, (pollfd*, nfds_t, int), nullptr)                                                    \
  X(ppoll, int, (pollfd*, nfds_t, const timespec*, const sigset_t*), nullptr)                      \
  X(select, int, (int, fd_set*, fd_set*, fd_set*, timeval*), nullptr)                              \
  X(pselect, int, (int, fd_set*, fd_set*, fd_set*, const timespec*, const sigset_t*), nullptr)     \
  X(nanosleep, int, (const timespec*, timespec*), nullptr)                                         \
  X(clock_nanosleep, int, (clockid_t, int, const timespec*, timespec*), nullptr)                   \
  X(usleep, int, (useconds_t), nullptr)                                                            \
  X(sleep, unsigned, (unsigned), nullptr)                                                          \
  X(fork, pid_t, (), nullptr)                                                                      \
  X(_Fork, pid_t, (), nullptr)                                                                     \
  X(daemon, int, (int, int), nullptr)                                                              \
  X(forkpty, pid_t, (int*, char*, const termios*, const winsize*), nullptr)                        \
  X(quick_exit, void, (int), nullptr)                                                              \
  X(flockfile, void, (FILE*), nullptr)                                                             \
  X(ftrylockfile, int, (FILE*), nullptr)                                                           \
  X(funlockfile, void, (FILE*), nullptr)                                                           \
  X(dl_iterate_phdr, int, (int (*)(dl_phdr_info*, size_t, void*), void*), nullptr)                 \
  X(_dl_find_object, int, (void*, dl_find_object*), nullptr)
// clang-format on

struct Real {
#define FORKMEND_DECLARE(name, result, parameters, version) result(*name) parameters;
  FORKMEND_REAL_FUNCTIONS(FORKMEND_DECLARE)
#undef FORKMEND_DECLARE
};

// Each pointer leads to libc, or until its first call to a stub that looks the function up and goes
// on to it: sixty look-ups at load would cost every `true` of a shell script 15 µs.
extern FORKMEND_HIDDEN Real real_functions;

// Looks all of them up: before the first fork (or each child would do it anew) and the first thread
// (its signal handlers must not have to). Idempotent; safe from several threads at once: they store
// the same values.
void resolve_real_functions();

// Whether this libc is older than 2.`minor`. Async-signal-safe.
bool libc_is_before(int minor);

// Before glibc 2.34 a thread's first dlsym allocates: not in a signal handler, nor in a thread of a
// sanitizer's. There all are looked up at load.
bool look_ups_allocate();

// The calling thread looks symbols up for the life of the object. Where look-ups allocate, an
// allocator's first steps run inside, and what they call must not be looked up in its turn.
class LookUp {
 public:
  LookUp() : outer_(inside_) { inside_ = true; }
  ~LookUp() { inside_ = outer_; }
  LookUp(const LookUp&) = delete;
  LookUp& operator=(const LookUp&) = delete;
  static bool is_inside() { return inside_; }

 private:
  static FORKMEND_HIDDEN FORKMEND_TLS bool inside_;
  const bool outer_;
};

FORKMEND_INLINE const Real& real() { return real_functions; }

// Whether this libc has what only later ones do (_Fork: 2.34).
bool has_real_fork_without_handlers();

}  // namespace forkmend
