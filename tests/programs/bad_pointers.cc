// Bad pointers, and none where one may be given: each interposed call that takes one gives what
// libc and the kernel give, an error or death by a signal, and reads nothing that they do not read.
// Prints a line for each call; the test compares the lines with and without the shim.
//
//   bad_pointers             a parent with one thread
//   bad_pointers lost        each call is made in a child with a lost thread
//   bad_pointers registered  by a thread of a registered runtime
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <threads.h>

#include <thread>

#include "include/forkmend/forkmend.h"
#include "tests/programs/victim.h"

namespace {

// Nothing is mapped there, by the kernel's own rules. Hidden from the compiler, which warns.
template <class T>
T* bad() {
  static volatile long address = -4096;
  return reinterpret_cast<T*>(address);
}
template <class T>
T* none() {
  static volatile long address = 0;
  return reinterpret_cast<T*>(address);
}

using Time = const timespec;

int word = 1;
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t checked = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

long futex(int* at, int operation, const void* timeout) {
  return syscall(SYS_futex, at, operation, 1, timeout, nullptr, FUTEX_BITSET_MATCH_ANY);
}

sem_t* posted() {
  static sem_t s;
  sem_init(&s, 0, 1);
  return &s;
}

pthread_t ended_thread() {
  pthread_t thread;
  pthread_create(
      &thread, nullptr, [](void*) -> void* { return nullptr; }, nullptr);
  while (victim::count_tasks() > 1) sched_yield();
  return thread;
}

struct Call {
  const char* name;
  long (*make)();
};

#define CALL(expression)                                                \
  {                                                                     \
#expression, []() -> long { return static_cast<long>(expression); } \
  }

const Call kCalls[] = {
    CALL(nanosleep(bad<Time>(), nullptr)),
    CALL(nanosleep(none<Time>(), nullptr)),
    CALL(clock_nanosleep(CLOCK_MONOTONIC, 0, bad<Time>(), nullptr)),
    CALL(clock_nanosleep(CLOCK_MONOTONIC, 0, none<Time>(), nullptr)),
    CALL(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, bad<Time>(), nullptr)),
    CALL(thrd_sleep(bad<Time>(), nullptr)),
    CALL(futex(&word, FUTEX_WAIT_PRIVATE, bad<Time>())),
    CALL(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, bad<Time>())),
    CALL(futex(&word, FUTEX_WAIT, bad<Time>())),
    CALL(futex(bad<int>(), FUTEX_WAIT_PRIVATE, nullptr)),
    CALL(futex(bad<int>(), FUTEX_WAKE_PRIVATE, nullptr)),
    CALL(futex(none<int>(), FUTEX_WAIT_PRIVATE, nullptr)),
    CALL(futex(none<int>(), FUTEX_WAKE, nullptr)),
    CALL(poll(bad<pollfd>(), 1, 0)),
    CALL(ppoll(nullptr, 0, bad<Time>(), nullptr)),
    CALL(ppoll(bad<pollfd>(), 1, none<Time>(), nullptr)),
    CALL(ppoll(nullptr, 0, nullptr, bad<sigset_t>())),
    CALL(select(0, nullptr, nullptr, nullptr, bad<timeval>())),
    CALL(select(1, bad<fd_set>(), nullptr, nullptr, nullptr)),
    CALL(pselect(0, nullptr, nullptr, nullptr, bad<Time>(), nullptr)),
    CALL(pselect(1, bad<fd_set>(), nullptr, nullptr, nullptr, nullptr)),
    CALL(epoll_wait(epoll_create1(0), bad<epoll_event>(), 1, 0)),
    CALL(epoll_wait(epoll_create1(0), none<epoll_event>(), 1, 0)),
    CALL(epoll_pwait(epoll_create1(0), bad<epoll_event>(), 1, 0, bad<sigset_t>())),
    CALL(epoll_ctl(epoll_create1(0), EPOLL_CTL_ADD, 0, bad<epoll_event>())),
    CALL(pipe(bad<int>())),
    CALL(pipe(none<int>())),
    CALL(pipe2(bad<int>(), O_CLOEXEC)),
    CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, bad<int>())),
    CALL(connect(socket(AF_INET, SOCK_STREAM, 0), bad<sockaddr>(), sizeof(sockaddr_in))),
    CALL(write(eventfd(0, 0), bad<char>(), 8)),
    CALL(write(eventfd(0, 0), none<char>(), 8)),
    CALL(timerfd_settime(timerfd_create(CLOCK_MONOTONIC, 0), 0, bad<itimerspec>(), nullptr)),
    CALL(sigprocmask(SIG_BLOCK, bad<sigset_t>(), nullptr)),
    CALL(pthread_sigmask(SIG_BLOCK, bad<sigset_t>(), nullptr)),
    CALL(pthread_sigmask(SIG_BLOCK, nullptr, bad<sigset_t>())),
    CALL(pthread_mutex_timedlock(&mutex, none<Time>())),
    CALL(pthread_mutex_timedlock(&mutex, bad<Time>())),
    CALL(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, bad<Time>())),
    CALL((pthread_mutex_lock(&checked), pthread_mutex_timedlock(&checked, bad<Time>()))),
    CALL((pthread_mutex_lock(&recursive), pthread_mutex_timedlock(&recursive, bad<Time>()))),
    CALL((pthread_mutex_lock(&mutex), pthread_mutex_timedlock(&mutex, bad<Time>()))),
    CALL(pthread_mutex_lock(bad<pthread_mutex_t>())),
    CALL(pthread_mutex_trylock(bad<pthread_mutex_t>())),
    CALL(pthread_mutex_unlock(none<pthread_mutex_t>())),
    CALL(pthread_rwlock_timedrdlock(&rwlock, none<Time>())),
    CALL(pthread_rwlock_timedwrlock(&rwlock, none<Time>())),
    CALL(pthread_rwlock_clockrdlock(&rwlock, CLOCK_MONOTONIC, none<Time>())),
    CALL(pthread_rwlock_clockwrlock(&rwlock, CLOCK_MONOTONIC, none<Time>())),
    CALL(pthread_rwlock_timedrdlock(&rwlock, bad<Time>())),
    CALL(pthread_rwlock_clockwrlock(&rwlock, CLOCK_MONOTONIC, bad<Time>())),
    CALL(pthread_rwlock_rdlock(bad<pthread_rwlock_t>())),
    CALL((pthread_mutex_lock(&mutex), pthread_cond_timedwait(&cond, &mutex, none<Time>()))),
    CALL((pthread_mutex_lock(&mutex), pthread_cond_timedwait(&cond, &mutex, bad<Time>()))),
    CALL((pthread_mutex_lock(&mutex),
          pthread_cond_clockwait(&cond, &mutex, CLOCK_MONOTONIC, bad<Time>()))),
    CALL((pthread_mutex_lock(&mutex), pthread_cond_wait(bad<pthread_cond_t>(), &mutex))),
    CALL(pthread_cond_wait(&cond, bad<pthread_mutex_t>())),
    CALL(pthread_cond_wait(&cond, &checked)),
    CALL(pthread_cond_signal(bad<pthread_cond_t>())),
    CALL(pthread_cond_broadcast(none<pthread_cond_t>())),
    CALL(sem_timedwait(posted(), none<Time>())),
    CALL(sem_timedwait(posted(), bad<Time>())),
    CALL(sem_clockwait(posted(), CLOCK_MONOTONIC, bad<Time>())),
    CALL(sem_wait(bad<sem_t>())),
    CALL(sem_post(none<sem_t>())),
    CALL(pthread_timedjoin_np(ended_thread(), nullptr, none<Time>())),
    CALL(pthread_timedjoin_np(ended_thread(), nullptr, bad<Time>())),
    CALL(pthread_clockjoin_np(ended_thread(), nullptr, CLOCK_MONOTONIC, bad<Time>())),
    CALL(pthread_join(ended_thread(), bad<void*>())),
    CALL(pthread_setname_np(pthread_self(), bad<char>())),
    CALL(pthread_getattr_np(pthread_self(), bad<pthread_attr_t>())),
    CALL(pthread_create(
        bad<pthread_t>(), nullptr, [](void* p) { return p; }, nullptr)),
    CALL(pthread_barrier_wait(bad<pthread_barrier_t>())),
    CALL(pthread_spin_lock(const_cast<pthread_spinlock_t*>(bad<int>()))),
};

// In a child each: it may die, and none leaves the next one anything.
void make_all() {
  for (const Call& call : kCalls) {
    const pid_t pid = victim::spawn([&] {
      alarm(10);
      errno = 0;
      const long result = call.make();
      printf("%s: %ld, errno %d\n", call.name, result, errno);
      fflush(stdout);
      return 0;
    });
    const int code = victim::reap(pid);
    if (code != 0) printf("%s: %s %d\n", call.name, code > 128 ? "signal" : "code", code & 127);
    fflush(stdout);
  }
}

}  // namespace

int main(int, char** arguments) {
  if (victim::is(arguments[1], "registered")) {
    std::thread([] {
      forkmend_runtime* runtime = forkmend_register("pool", nullptr, nullptr);
      if (runtime != nullptr) forkmend_adopt_thread(runtime);
      make_all();
    }).join();
    return 0;
  }
  if (victim::is(arguments[1], "lost")) std::thread(victim::sleep_for_ever).detach();
  make_all();
  return 0;
}
