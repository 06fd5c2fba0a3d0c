// Waiting for anything but a lock: condition variables, semaphores, threads, barriers, futexes,
// descriptors, time.
//
// Promises and parameters as in waiting/locks.h.
#pragma once

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

namespace forkmend::waiting {

int cond_wait(pthread_cond_t* c, pthread_mutex_t* m, const void* caller);
int cond_signal(pthread_cond_t* c, const void* caller);
int cond_broadcast(pthread_cond_t* c, const void* caller);
int cond_timedwait(pthread_cond_t* c, pthread_mutex_t* m, const timespec* deadline,
                   const void* caller);
int cond_clockwait(pthread_cond_t* c, pthread_mutex_t* m, clockid_t clock, const timespec* deadline,
                   const void* caller);

int sem_wait(sem_t* s, const void* caller);
int sem_timedwait(sem_t* s, const timespec* deadline, const void* caller);
int sem_clockwait(sem_t* s, clockid_t clock, const timespec* deadline, const void* caller);

int join(pthread_t thread, void** result, const void* caller);
int try_join(pthread_t thread, void** result, const void* caller);
int clock_join(pthread_t thread, void** result, clockid_t clock, const timespec* deadline,
               const void* caller);
int barrier_wait(pthread_barrier_t* b, const void* caller);

// The words of a futex system call; the result is that of syscall().
long futex(long word, long operation, long value, long timeout, long second, long mask,
           const void* caller);

int epoll_wait(int fd, epoll_event* events, int count, int timeout_ms, const void* caller);
int epoll_pwait(int fd, epoll_event* events, int count, int timeout_ms, const sigset_t* mask,
                const void* caller);
int poll(pollfd* fds, nfds_t count, int timeout_ms, const void* caller);
int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask,
          const void* caller);
int select(int count, fd_set* in, fd_set* out, fd_set* except, timeval* timeout,
           const void* caller);
int pselect(int count, fd_set* in, fd_set* out, fd_set* except, const timespec* timeout,
            const sigset_t* mask, const void* caller);

int nanosleep(const timespec* time, timespec* left, const void* caller);
int clock_nanosleep(clockid_t clock, int flags, const timespec* time, timespec* left,
                    const void* caller);
int usleep(useconds_t time, const void* caller);
unsigned sleep(unsigned seconds, const void* caller);

}  // namespace forkmend::waiting
