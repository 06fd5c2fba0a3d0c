// Process-shared locks that another process owns: the child leaves them alone.
#include <errno.h>
#include <semaphore.h>
#include <sys/mman.h>

#include "tests/programs/primitive/primitive.h"

namespace primitive {
namespace {

// In memory that parent and child share. To the child its owner is a lost thread; in the parent
// that thread lives on, and gives it back when the child says so.
struct Shared {
  pthread_mutex_t mutex;
  pthread_rwlock_t rwlock;
  sem_t sem, give_back;
};
Shared* shared;

int take_shared(bool timed) {
  const timespec deadline = in_seconds(CLOCK_REALTIME, timed ? 0 : 10);  // 0: over at once
  if (starts("rwlock")) return pthread_rwlock_timedwrlock(&shared->rwlock, &deadline);
  if (starts("sem")) return sem_timedwait(&shared->sem, &deadline) == 0 ? 0 : errno;
  return pthread_mutex_timedlock(&shared->mutex, &deadline);
}

int give_back_shared() {
  if (starts("rwlock")) return pthread_rwlock_unlock(&shared->rwlock);
  if (starts("sem")) return sem_post(&shared->sem);
  return pthread_mutex_unlock(&shared->mutex);
}

int try_shared() {
  if (starts("rwlock")) return pthread_rwlock_trywrlock(&shared->rwlock);
  if (starts("sem")) return sem_trywait(&shared->sem) == 0 ? 0 : EBUSY;
  return pthread_mutex_trylock(&shared->mutex);
}

void holds_shared() {
  if (take_shared(false) != 0) victim::set_up_failed("shared lock");
  announce();
  while (sem_wait(&shared->give_back) != 0) {
  }
  if (give_back_shared() != 0) victim::set_up_failed("shared unlock");
  victim::sleep_for_ever();
}

int shared_child() {
  const Shared before = *shared;
  STEP(1, try_shared() == EBUSY);
  STEP(2, take_shared(true) == ETIMEDOUT);
  STEP(3, shared->mutex.__data.__owner == before.mutex.__data.__owner);
  STEP(4, shared->rwlock.__data.__cur_writer == before.rwlock.__data.__cur_writer);
  sem_post(&shared->give_back);
  STEP(5, take_shared(false) == 0);
  STEP(6, give_back_shared() == 0);
  return 0;
}

}  // namespace

int shared_case() {
  shared = static_cast<Shared*>(
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  pthread_mutexattr_t mutexes;
  pthread_mutexattr_init(&mutexes);
  pthread_mutexattr_setpshared(&mutexes, PTHREAD_PROCESS_SHARED);
  if (ends_in("robust")) pthread_mutexattr_setrobust(&mutexes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&shared->mutex, &mutexes);
  pthread_rwlockattr_t rwlocks;
  pthread_rwlockattr_init(&rwlocks);
  pthread_rwlockattr_setpshared(&rwlocks, PTHREAD_PROCESS_SHARED);
  pthread_rwlock_init(&shared->rwlock, &rwlocks);
  sem_init(&shared->sem, 1, 1);
  sem_init(&shared->give_back, 1, 0);
  if (in("registered")) runtime = forkmend_register("victim", nullptr, nullptr);
  start(holds_shared);
  return in_child(shared_child);
}

}  // namespace primitive
