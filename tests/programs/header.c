/* The API in C: every call, with and without the shim. Compiled as C99 and C11, static, PIE and
 * not.
 *
 * Prints "shim" or "no shim"; ends with 0, or the step that failed.
 */
#define _XOPEN_SOURCE 700
#include <forkmend/forkmend.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>

static int respawned;

static int respawn(void* user) {
  (void)user;
  respawned++;
  return 0;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t locked = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

static int use(int has_shim, forkmend_runtime* runtime) {
  pthread_mutexattr_t shared;
  pthread_mutex_t shared_mutex;
  sem_t semaphore;
  if (sem_init(&semaphore, 0, 3) != 0) return 2;
  if (forkmend_adopt_lock(runtime, FORKMEND_MUTEX, &mutex) != 0) return 3;
  if (forkmend_adopt_lock(runtime, FORKMEND_COND, &cond) != 0) return 4;
  if (forkmend_adopt_lock(runtime, FORKMEND_RWLOCK, &rwlock) != 0) return 5;
  if (forkmend_adopt_lock(runtime, FORKMEND_SEM, &semaphore) != 0) return 6;
  pthread_mutex_lock(&locked);
  if (forkmend_adopt_lock(runtime, FORKMEND_MUTEX, &locked) != (has_shim ? EBUSY : 0)) return 7;
  pthread_mutex_unlock(&locked);
  pthread_mutexattr_init(&shared);
  pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(&shared_mutex, &shared);
  if (forkmend_adopt_lock(runtime, FORKMEND_MUTEX, &shared_mutex) != (has_shim ? EINVAL : 0))
    return 8;
  if (forkmend_adopt_lock(runtime, (forkmend_lock_kind)9, &mutex) != (has_shim ? EINVAL : 0))
    return 9;
  if (forkmend_adopt_thread(runtime) != 0) return 10;
  if (forkmend_enqueue(runtime) != 0 || respawned != 0) return 11;
  return 0;
}

int main(void) {
  forkmend_callbacks callbacks = {sizeof callbacks, NULL, NULL, respawn, NULL};
  forkmend_runtime* runtime = forkmend_register("header", &callbacks, NULL);
  const int has_shim = runtime != NULL;
  const int failed = use(has_shim, runtime);
  if (failed != 0) return failed;
  forkmend_unregister(runtime);
  /* No runtime is a runtime on which every call does nothing. */
  if (forkmend_adopt_lock(NULL, FORKMEND_MUTEX, &mutex) != 0 || forkmend_adopt_thread(NULL) != 0 ||
      forkmend_enqueue(NULL) != 0)
    return 12;
  forkmend_unregister(NULL);
  /* Without callbacks, without a name. */
  runtime = forkmend_register(NULL, NULL, NULL);
  if ((runtime != NULL) != has_shim || forkmend_enqueue(runtime) != 0) return 13;
  forkmend_unregister(runtime);
  puts(has_shim ? "shim" : "no shim");
  return 0;
}
