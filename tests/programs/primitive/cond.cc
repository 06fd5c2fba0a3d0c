// Condition variables that lost threads wait on.
#include <errno.h>

#include "tests/programs/primitive/primitive.h"

namespace primitive {
namespace {

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
mtx_t c11_mutex;
pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
cnd_t c11_cond;
bool go;

bool is_c11() { return starts("cnd"); }

int wait_once() {
  if (is_c11()) return cnd_wait(&c11_cond, &c11_mutex) == thrd_success ? 0 : EINVAL;
  return pthread_cond_wait(&cond, &mutex);
}
void lock_cond() {
  is_c11() ? static_cast<void>(mtx_lock(&c11_mutex))
           : static_cast<void>(pthread_mutex_lock(&mutex));
}
void unlock_cond() {
  is_c11() ? static_cast<void>(mtx_unlock(&c11_mutex))
           : static_cast<void>(pthread_mutex_unlock(&mutex));
}
void signal_cond(bool all) {
  if (is_c11()) {
    all ? cnd_broadcast(&c11_cond) : cnd_signal(&c11_cond);
  } else {
    all ? pthread_cond_broadcast(&cond) : pthread_cond_signal(&cond);
  }
}
void waits_for_cond() {
  lock_cond();
  announce();
  if (named("pthread_cond_timedwait")) {
    const timespec deadline = in_seconds(CLOCK_REALTIME, 3600);
    pthread_cond_timedwait(&cond, &mutex, &deadline);
  }
  for (;;) wait_once();
}

void* waits_to_be_told(void*) {
  lost_tid = gettid();
  lock_cond();
  ready.raise();
  while (!go) wait_once();
  unlock_cond();
  return nullptr;
}

// A thread of the child waits; one signal must reach it, lost waiters or not.
int signal_child() {
  pthread_t waiter;
  for (int round = 0; round < 4; round++) {
    go = false;
    STEP(1, run_thread(waiter, waits_to_be_told));
    ready.wait();
    victim::wait_until_asleep(lost_tid);
    lock_cond();
    go = true;
    signal_cond(ends_in("broadcast"));
    unlock_cond();
    STEP(2, pthread_join(waiter, nullptr) == 0);
  }
  return 0;
}

int destroy_child() {
  if (is_c11()) {
    cnd_destroy(&c11_cond);
  } else {
    STEP(1, pthread_cond_destroy(&cond) == 0);
  }
  return 0;
}

// The program signals first, as one does that hands over work: then the books say that a waiter was
// woken, who never leaves.
int signal_then_destroy_child() {
  for (int i = 0; i < 3; i++) signal_cond(false);
  signal_cond(true);
  if (const int code = signal_child()) return code;
  return destroy_child();
}

}  // namespace

int cond_case() {
  mtx_init(&c11_mutex, mtx_plain);
  cnd_init(&c11_cond);
  // Three waiters, two of them in the group that is signalled next.
  start(waits_for_cond);
  start(waits_for_cond);
  lock_cond();
  signal_cond(false);
  unlock_cond();
  start(waits_for_cond);
  return in_child(ends_in("destroy") ? destroy_child
                  : ends_in("all")   ? signal_then_destroy_child
                                     : signal_child);
}

}  // namespace primitive
