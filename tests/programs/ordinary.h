// What ordinary programs do with threads, in a fixed order and with a known result: locks, waits
// with and without a time-out, keys, cancellation, forks with threads alive, threads in the child,
// a grandchild.
//
// Promises: work() ends by itself, and the same way on every run: 0, or the number of the step that
// went wrong. It opens no file and writes nothing. Does not: need /proc, more than four threads at
// a time, or descriptors.
#pragma once

#include <atomic>

#include "tests/programs/victim.h"

namespace ordinary {

struct Shop {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t arrived = PTHREAD_COND_INITIALIZER;
  pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  sem_t done;
  int orders = 0, served = 0;
  bool closed = false;
};

inline void* serve(void* argument) {
  auto& shop = *static_cast<Shop*>(argument);
  pthread_mutex_lock(&shop.mutex);
  for (;;) {
    while (shop.orders == 0 && !shop.closed) pthread_cond_wait(&shop.arrived, &shop.mutex);
    if (shop.orders == 0) break;
    shop.orders--;
    shop.served++;
    sem_post(&shop.done);
  }
  pthread_mutex_unlock(&shop.mutex);
  return argument;
}

inline void order(Shop& shop, int count) {
  pthread_mutex_lock(&shop.mutex);
  shop.orders += count;
  pthread_cond_broadcast(&shop.arrived);
  pthread_mutex_unlock(&shop.mutex);
}

inline void* sleep_until_cancelled(void*) { victim::sleep_for_ever(); }

// A wait that runs into its time-out keeps its result and the mutex.
inline bool times_out(Shop& shop) {
  timespec deadline;
  clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_nsec += 1'000'000;
  if (deadline.tv_nsec >= 1'000'000'000) {
    deadline.tv_sec++;
    deadline.tv_nsec -= 1'000'000'000;
  }
  sem_t never;
  sem_init(&never, 0, 0);
  pthread_cond_t silent = PTHREAD_COND_INITIALIZER;
  if (sem_timedwait(&never, &deadline) != -1 || errno != ETIMEDOUT) return false;
  pthread_mutex_lock(&shop.mutex);
  int result;
  do result = pthread_cond_timedwait(&silent, &shop.mutex, &deadline);
  while (result == 0);
  return pthread_mutex_unlock(&shop.mutex) == 0 && result == ETIMEDOUT;
}

inline int serve_all(int threads, const pthread_attr_t* attributes) {
  constexpr int kOrders = 50;
  Shop shop;
  sem_init(&shop.done, 0, 0);
  pthread_t servants[4];
  for (int i = 0; i < threads; i++) {
    if (pthread_create(&servants[i], attributes, serve, &shop) != 0) return 1;
  }
  order(shop, kOrders);
  for (int i = 0; i < kOrders; i++) {
    while (sem_wait(&shop.done) != 0) {
    }
  }
  if (!times_out(shop)) return 2;
  pthread_rwlock_rdlock(&shop.rwlock);
  if (pthread_rwlock_trywrlock(&shop.rwlock) != EBUSY) return 3;
  pthread_rwlock_unlock(&shop.rwlock);
  pthread_mutex_lock(&shop.mutex);
  shop.closed = true;
  pthread_cond_broadcast(&shop.arrived);
  pthread_mutex_unlock(&shop.mutex);
  for (int i = 0; i < threads; i++) {
    void* result = nullptr;
    if (pthread_join(servants[i], &result) != 0 || result != &shop) return 4;
  }
  return shop.served == kOrders ? 0 : 5;
}

// Waits for a child without descriptors: some of these programs have none.
inline int result_of(pid_t child) {
  int status;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return 97;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

inline int work(const pthread_attr_t* attributes = nullptr) {
  if (const int code = serve_all(3, attributes)) return code;
  pthread_t sleeper, late;
  if (pthread_create(&sleeper, attributes, sleep_until_cancelled, nullptr) != 0) return 10;
  for (int round = 0; round < 3; round++) {
    const pid_t child = fork();
    if (child < 0) return 11;
    if (child == 0) {
      if (const int code = serve_all(2, attributes)) _exit(20 + code);
      const pid_t grandchild = fork();
      if (grandchild < 0) _exit(30);
      if (grandchild == 0) {
        const int code = serve_all(1, attributes);
        _exit(code == 0 ? 0 : 40 + code);
      }
      _exit(result_of(grandchild));
    }
    if (const int code = result_of(child)) return code;
  }
  if (pthread_create(&late, attributes, sleep_until_cancelled, nullptr) != 0) return 12;
  pthread_cancel(sleeper);
  pthread_cancel(late);
  void* result = nullptr;
  if (pthread_join(sleeper, &result) != 0 || result != PTHREAD_CANCELED) return 13;
  if (pthread_join(late, &result) != 0 || result != PTHREAD_CANCELED) return 14;
  return serve_all(4, attributes);
}

}  // namespace ordinary
