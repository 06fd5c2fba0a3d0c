// libforwarding.so: a preload that interposes what forkmend interposes, and only forwards it. What
// it costs is the price of interposing itself; the benchmark holds forkmend to within 0.05 of it.
//
// Every symbol is a null check and a tail jump. The real functions are looked up in constructors;
// the null check is for the constructors of other libraries, which call before ours have run.
//
// Link it against libc alone (-nodefaultlibs -lc): left to itself g++ adds libstdc++, libm and
// libgcc_s to every program under this preload, and its exec row would be a floor no longer.
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

// x86-64 has two condvars, and dlsym by name alone may find the old one, which has another layout.
#if defined(__x86_64__)
#define CONDVAR "GLIBC_2.3.2"
#else
#define CONDVAR nullptr
#endif

namespace {

[[gnu::noinline, gnu::cold]] void* find(const char* name, const char* version) {
  return version ? dlvsym(RTLD_NEXT, name, version) : dlsym(RTLD_NEXT, name);
}

}  // namespace

#define FORWARD_VERSION(version, result, name, parameters, arguments)            \
  static result(*real_##name) parameters;                                        \
  [[gnu::constructor, gnu::noinline, gnu::cold]] static void find_##name() {     \
    real_##name = reinterpret_cast<decltype(real_##name)>(find(#name, version)); \
  }                                                                              \
  extern "C" result name parameters {                                            \
    if (__builtin_expect(!real_##name, 0)) find_##name();                        \
    return real_##name arguments;                                                \
  }

#define FORWARD(result, name, parameters, arguments) \
  FORWARD_VERSION(nullptr, result, name, parameters, arguments)

using Attributes = const pthread_attr_t*;
using Barrier = pthread_barrier_t*;
using Condvar = pthread_cond_t*;
using Descriptors = fd_set*;
using Events = epoll_event*;
using Mutex = pthread_mutex_t*;
using Polled = pollfd*;
using Rwlock = pthread_rwlock_t*;
using Semaphore = sem_t*;
using Thread = pthread_t*;
using Time = const timespec*;

FORWARD(int, pthread_mutex_lock, (Mutex mutex), (mutex))
FORWARD(int, pthread_mutex_trylock, (Mutex mutex), (mutex))
FORWARD(int, pthread_mutex_timedlock, (Mutex mutex, Time until), (mutex, until))
FORWARD(int, pthread_mutex_clocklock, (Mutex mutex, clockid_t clock, Time until),
        (mutex, clock, until))
FORWARD(int, pthread_mutex_unlock, (Mutex mutex), (mutex))

FORWARD_VERSION(CONDVAR, int, pthread_cond_wait, (Condvar cond, Mutex mutex), (cond, mutex))
FORWARD_VERSION(CONDVAR, int, pthread_cond_timedwait, (Condvar cond, Mutex mutex, Time until),
                (cond, mutex, until))
FORWARD(int, pthread_cond_clockwait, (Condvar cond, Mutex mutex, clockid_t clock, Time until),
        (cond, mutex, clock, until))
FORWARD_VERSION(CONDVAR, int, pthread_cond_signal, (Condvar cond), (cond))
FORWARD_VERSION(CONDVAR, int, pthread_cond_broadcast, (Condvar cond), (cond))

FORWARD(int, pthread_rwlock_rdlock, (Rwlock lock), (lock))
FORWARD(int, pthread_rwlock_tryrdlock, (Rwlock lock), (lock))
FORWARD(int, pthread_rwlock_timedrdlock, (Rwlock lock, Time until), (lock, until))
FORWARD(int, pthread_rwlock_clockrdlock, (Rwlock lock, clockid_t clock, Time until),
        (lock, clock, until))
FORWARD(int, pthread_rwlock_wrlock, (Rwlock lock), (lock))
FORWARD(int, pthread_rwlock_trywrlock, (Rwlock lock), (lock))
FORWARD(int, pthread_rwlock_timedwrlock, (Rwlock lock, Time until), (lock, until))
FORWARD(int, pthread_rwlock_clockwrlock, (Rwlock lock, clockid_t clock, Time until),
        (lock, clock, until))
FORWARD(int, pthread_rwlock_unlock, (Rwlock lock), (lock))

FORWARD(int, sem_wait, (Semaphore semaphore), (semaphore))
FORWARD(int, sem_trywait, (Semaphore semaphore), (semaphore))
FORWARD(int, sem_timedwait, (Semaphore semaphore, Time until), (semaphore, until))
FORWARD(int, sem_clockwait, (Semaphore semaphore, clockid_t clock, Time until),
        (semaphore, clock, until))
FORWARD(int, sem_post, (Semaphore semaphore), (semaphore))

FORWARD(int, pthread_create,
        (Thread thread, Attributes attributes, void* (*start)(void*), void* argument),
        (thread, attributes, start, argument))
FORWARD(int, pthread_join, (pthread_t thread, void** result), (thread, result))
FORWARD(int, pthread_detach, (pthread_t thread), (thread))
FORWARD(int, pthread_setname_np, (pthread_t thread, const char* name), (thread, name))
FORWARD(int, pthread_barrier_wait, (Barrier barrier), (barrier))

FORWARD(int, epoll_wait, (int epoll, Events events, int size, int timeout),
        (epoll, events, size, timeout))
FORWARD(int, poll, (Polled descriptors, nfds_t count, int timeout), (descriptors, count, timeout))
FORWARD(int, select,
        (int count, Descriptors read, Descriptors write, Descriptors error, timeval* timeout),
        (count, read, write, error, timeout))
FORWARD(int, nanosleep, (Time duration, timespec* left), (duration, left))
FORWARD(int, clock_nanosleep, (clockid_t clock, int flags, Time until, timespec* left),
        (clock, flags, until, left))
FORWARD(int, usleep, (useconds_t duration), (duration))
FORWARD(unsigned, sleep, (unsigned duration), (duration))
FORWARD(ssize_t, write, (int descriptor, const void* bytes, size_t size), (descriptor, bytes, size))

FORWARD(int, epoll_create1, (int flags), (flags))
FORWARD(int, eventfd, (unsigned value, int flags), (value, flags))
FORWARD(int, timerfd_create, (int clock, int flags), (clock, flags))
FORWARD(int, pipe, (int* ends), (ends))
FORWARD(int, pipe2, (int* ends, int flags), (ends, flags))
FORWARD(int, socketpair, (int domain, int type, int protocol, int* ends),
        (domain, type, protocol, ends))
FORWARD(int, connect, (int socket, const sockaddr* address, socklen_t size),
        (socket, address, size))

FORWARD(pid_t, fork, (), ())
FORWARD(pid_t, _Fork, (), ())

// The rest jumps in assembly, because no compiler can be made to:
// vfork's child returns on the parent's stack, so no frame of ours may be there to return through;
// exit and _exit do not return, and compilers call such functions;
// syscall, written out with seven words, compiles to a load and a store of the seventh, on the
// stack: where the caller passed fewer, that word is a variable of the caller's, perhaps one that
// another thread changes between the two.
#if defined(__x86_64__)
asm(R"(
    .macro forward name
    .text
    .p2align 4
    .globl \name
    .type \name, @function
\name:
    endbr64
    cmpq $0, real_\name(%rip)
    jne 1f
    push %rdi
    push %rsi
    push %rdx
    push %rcx
    push %r8
    push %r9
    sub $8, %rsp
    call find_\name
    add $8, %rsp
    pop %r9
    pop %r8
    pop %rcx
    pop %rdx
    pop %rsi
    pop %rdi
1:  jmp *real_\name(%rip)
    .size \name, .-\name
    .endm
)");
#elif defined(__aarch64__)
asm(R"(
    .macro forward name
    .text
    .p2align 4
    .globl \name
    .type \name, @function
\name:
    hint #34    // bti c
    adrp x16, real_\name
    ldr x16, [x16, :lo12:real_\name]
    cbnz x16, 1f
    stp x29, x30, [sp, #-80]!
    stp x0, x1, [sp, #16]
    stp x2, x3, [sp, #32]
    stp x4, x5, [sp, #48]
    str x6, [sp, #64]
    bl find_\name
    ldr x6, [sp, #64]
    ldp x4, x5, [sp, #48]
    ldp x2, x3, [sp, #32]
    ldp x0, x1, [sp, #16]
    ldp x29, x30, [sp], #80
    adrp x16, real_\name
    ldr x16, [x16, :lo12:real_\name]
1:  br x16
    .size \name, .-\name
    .endm
)");
#endif

#define FORWARD_IN_ASSEMBLY(name)                                          \
  extern "C" {                                                             \
  [[gnu::visibility("hidden")]] decltype(&name) real_##name;               \
  [[gnu::visibility("hidden"), gnu::constructor]] void find_##name() {     \
    real_##name = reinterpret_cast<decltype(&name)>(find(#name, nullptr)); \
  }                                                                        \
  }                                                                        \
  asm("forward " #name);

FORWARD_IN_ASSEMBLY(vfork)
FORWARD_IN_ASSEMBLY(exit)
FORWARD_IN_ASSEMBLY(_exit)
FORWARD_IN_ASSEMBLY(syscall)
