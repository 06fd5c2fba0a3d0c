// Locks that a lost thread or the forking thread itself holds.
#include <errno.h>
#include <semaphore.h>

#include <thread>

#include "tests/programs/primitive/primitive.h"

namespace primitive {
namespace {

pthread_mutex_t mutex;
mtx_t c11_mutex;
pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
pthread_spinlock_t spin;
sem_t semaphore;

bool is_recursive() { return std::string_view(name).find("recursive") != std::string_view::npos; }
bool is_errorcheck() { return std::string_view(name).find("errorcheck") != std::string_view::npos; }

void make_lock() {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  const std::string_view kind(name);
  const auto has = [&](std::string_view part) { return kind.find(part) != std::string_view::npos; };
  pthread_mutexattr_settype(&attributes, is_recursive()    ? PTHREAD_MUTEX_RECURSIVE
                                         : is_errorcheck() ? PTHREAD_MUTEX_ERRORCHECK
                                         : has("adaptive") ? PTHREAD_MUTEX_ADAPTIVE_NP
                                                           : PTHREAD_MUTEX_NORMAL);
  if (has("robust")) pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  if (has("-pi")) pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  pthread_mutex_init(&mutex, &attributes);
  mtx_init(&c11_mutex, is_recursive() ? mtx_plain | mtx_recursive : mtx_timed);
  pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
  sem_init(&semaphore, 0, 1);
  if (runtime != nullptr && named("sem")) forkmend_adopt_lock(runtime, FORKMEND_SEM, &semaphore);
}

// As the thread that will be lost, or the forking one, takes it. 0 or an error.
int take_first() {
  if (starts("mtx")) return mtx_lock(&c11_mutex) == thrd_success ? 0 : EINVAL;
  if (starts("rwlock-of-reader")) return pthread_rwlock_rdlock(&rwlock);
  if (starts("rwlock")) return pthread_rwlock_wrlock(&rwlock);
  if (named("spin")) return pthread_spin_lock(&spin);
  if (named("sem")) return sem_wait(&semaphore);
  return pthread_mutex_lock(&mutex);
}

// As the child takes it.
int take() {
  const timespec wall = in_seconds(CLOCK_REALTIME, 10);
  if (named("mtx-timed")) return mtx_timedlock(&c11_mutex, &wall) == thrd_success ? 0 : ETIMEDOUT;
  if (starts("mtx")) return mtx_lock(&c11_mutex) == thrd_success ? 0 : EINVAL;
  if (named("rwlock-of-writer-read")) return pthread_rwlock_rdlock(&rwlock);
  if (named("rwlock-of-writer-timed")) return pthread_rwlock_timedwrlock(&rwlock, &wall);
  if (named("rwlock-of-writer-try")) return pthread_rwlock_trywrlock(&rwlock);
  if (starts("rwlock")) return pthread_rwlock_wrlock(&rwlock);
  if (named("spin")) return pthread_spin_lock(&spin);
  if (named("sem")) return sem_wait(&semaphore);
  if (named("mutex-timed")) return pthread_mutex_timedlock(&mutex, &wall);
  if (named("mutex-try")) return pthread_mutex_trylock(&mutex);
  return pthread_mutex_lock(&mutex);
}

int give_back() {
  if (starts("mtx")) return mtx_unlock(&c11_mutex) == thrd_success ? 0 : EPERM;
  if (starts("rwlock")) return pthread_rwlock_unlock(&rwlock);
  if (named("spin")) return pthread_spin_unlock(&spin);
  if (named("sem")) return sem_post(&semaphore);
  return pthread_mutex_unlock(&mutex);
}

// Nobody else holds it: the whole lock works, for this thread and for another.
int lock_is_whole() {
  STEP(20, take() == 0);
  STEP(21, give_back() == 0);
  int error = -1;
  std::thread([&] {
    error = take();
    if (error == 0) error = give_back();
  }).join();
  STEP(22, error == 0);
  STEP(23, take() == 0);
  if (is_recursive()) {
    STEP(24, take() == 0);
    STEP(25, give_back() == 0);
  }
  if (is_errorcheck()) STEP(26, take() == EDEADLK);
  STEP(27, give_back() == 0);
  return 0;
}

// The child wants what a lost thread holds.
int lock_of_lost() {
  int error = take();
  if (error == EOWNERDEAD) {  // what a robust mutex says when its owner died
    STEP(1, strstr(name, "robust") != nullptr);
    STEP(2, pthread_mutex_consistent(&mutex) == 0);
    error = 0;
  }
  STEP(3, error == 0);
  STEP(4, give_back() == 0);
  return lock_is_whole();
}

// The child goes on holding what its thread held.
int lock_of_own() {
  if (is_recursive()) {
    STEP(1, take() == 0);
    STEP(2, give_back() == 0);
  }
  if (is_errorcheck()) STEP(3, take() == EDEADLK);
  // It is held: another thread does not get it.
  if (!starts("mtx") && !starts("rwlock-of-reader")) {
    int error = -1;
    std::thread([&] {
      error = starts("rwlock")  ? pthread_rwlock_trywrlock(&rwlock)
              : starts("mutex") ? pthread_mutex_trylock(&mutex)
                                : EBUSY;
    }).join();
    STEP(4, error == EBUSY);
  }
  STEP(5, give_back() == 0);
  return lock_is_whole();
}

int taken = -1;

void* takes(void*) {
  lost_tid = gettid();
  ready.raise();
  taken = take();
  if (taken == 0) taken = give_back();
  return nullptr;
}

// Another thread of the child waits for what the forking thread still holds, and gets it.
int lock_of_own_wanted() {
  pthread_t waiter;
  STEP(1, run_thread(waiter, takes));
  ready.wait();
  victim::wait_until_asleep(lost_tid);
  STEP(2, give_back() == 0);
  STEP(3, pthread_join(waiter, nullptr) == 0);
  STEP(4, taken == 0);
  return lock_is_whole();
}

void holds() {
  if (take_first() != 0) victim::set_up_failed("lock");
  announce();
  victim::sleep_for_ever();
}

// Two that want it as well, and are lost while they wait.
void waits_to_read() {
  announce();
  pthread_rwlock_rdlock(&rwlock);
}

void waits_to_write() {
  announce();
  pthread_rwlock_wrlock(&rwlock);
}

void start_waiters() {
  if (ends_in_state("by-reader") || ends_in_state("by-both")) start(waits_to_read);
  if (ends_in_state("by-writer") || ends_in_state("by-both")) start(waits_to_write);
}

// A grandchild of the thread that holds it.
int lock_of_grandchild() {
  const pid_t child = victim::spawn([] { return lock_of_own(); });
  STEP(1, victim::reap(child) == 0);
  return lock_of_own();
}

}  // namespace

int lock_case() {
  if (in("registered")) runtime = forkmend_register("victim", nullptr, nullptr);
  make_lock();
  if (in("registered") || std::string_view(state).substr(0, 4) == "held") {
    start(holds);
    start_waiters();
    return in_child(lock_of_lost);
  }
  if (take_first() != 0) victim::set_up_failed("lock");
  start(sleeps);
  start_waiters();
  return in_child(!in("own-wanted") ? lock_of_own : lock_of_own_wanted);
}

int grandchild_case() {
  name = "mutex-recursive";
  make_lock();
  if (take_first() != 0) victim::set_up_failed("lock");
  start(sleeps);
  return in_child(lock_of_grandchild);
}

}  // namespace primitive
