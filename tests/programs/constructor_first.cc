// A library whose constructor locks, waits and creates a thread before the preload's constructor
// ran (stress-ng's does): a null pointer behind an interposer crashes here.
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "tests/programs/victim.h"

namespace {

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_t thread;
int failed;

void* work(void*) {
  pthread_mutex_lock(&mutex);
  pthread_mutex_unlock(&mutex);
  return &mutex;
}

void check(bool holds, int step) {
  if (!holds && failed == 0) failed = step;
}

__attribute__((constructor)) void early() {
  sem_t semaphore;
  sem_init(&semaphore, 0, 1);
  pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  pthread_once_t once = PTHREAD_ONCE_INIT;
  check(pthread_mutex_lock(&mutex) == 0, 1);
  check(pthread_cond_signal(&cond) == 0, 2);
  timespec soon;
  clock_gettime(CLOCK_REALTIME, &soon);
  check(pthread_cond_timedwait(&cond, &mutex, &soon) == ETIMEDOUT, 3);
  check(pthread_mutex_unlock(&mutex) == 0, 4);
  check(sem_wait(&semaphore) == 0 && sem_post(&semaphore) == 0, 5);
  check(pthread_rwlock_rdlock(&rwlock) == 0 && pthread_rwlock_unlock(&rwlock) == 0, 6);
  check(pthread_once(&once, [] {}) == 0, 7);
  check(syscall(SYS_gettid) == getpid(), 8);
  unsigned word = 1;
  check(syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, nullptr, nullptr, 0) == -1 &&
            errno == EAGAIN,
        9);
  const int epoll = epoll_create1(0);
  epoll_event event;
  check(epoll_wait(epoll, &event, 1, 0) == 0, 10);
  close(epoll);
  check(write(-1, "x", 1) == -1 && errno == EBADF, 11);
  const timespec moment{0, 1000};
  check(nanosleep(&moment, nullptr) == 0, 12);
  // It is joined in main, after the preload's constructor.
  check(pthread_create(&thread, nullptr, work, nullptr) == 0, 13);
}

}  // namespace

extern "C" int early_result() {
  void* result = nullptr;
  check(pthread_join(thread, &result) == 0 && result == &mutex, 14);
  return failed;
}
