// Handles of lost threads: joined, signalled, cancelled, detached, and used again by libc.
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "tests/programs/primitive/primitive.h"

namespace primitive {
namespace {

void start_on_own_stack(void (*what)()) {
  constexpr size_t kStack = 256 * 1024;
  void* stack = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, stack, kStack);
  start(what, &attributes);
}

int join_child() {
  void* result = &result;
  int error;
  if (named("pthread_tryjoin_np")) {
    error = pthread_tryjoin_np(lost, &result);
  } else if (named("pthread_timedjoin_np")) {
    const timespec deadline = in_seconds(CLOCK_REALTIME, 10);
    error = pthread_timedjoin_np(lost, &result, &deadline);
  } else if (named("pthread_clockjoin_np")) {
    const timespec deadline = in_seconds(CLOCK_MONOTONIC, 10);
    error = pthread_clockjoin_np(lost, &result, CLOCK_MONOTONIC, &deadline);
  } else if (named("thrd_join")) {
    error = thrd_join(lost, nullptr);
    result = nullptr;
  } else {
    error = pthread_join(lost, &result);
  }
  STEP(1, error == 0);
  STEP(2, result == nullptr);
  return 0;
}

int handle_child() {
  if (named("pthread_kill")) STEP(1, pthread_kill(lost, SIGUSR1) == ESRCH);
  if (named("pthread_kill-0")) STEP(2, pthread_kill(lost, 0) == ESRCH);
  if (named("pthread_sigqueue")) STEP(3, pthread_sigqueue(lost, SIGUSR1, {}) == ESRCH);
  if (named("pthread_cancel")) STEP(4, pthread_cancel(lost) == ESRCH);
  if (named("pthread_detach")) {
    // As libc answers: std::thread and GLib end the process where a detach fails.
    STEP(5, pthread_detach(lost) == 0);
    STEP(7, pthread_detach(lost) == ESRCH);
    STEP(8, pthread_kill(lost, 0) == ESRCH);
  }
  if (named("tgkill")) STEP(6, tgkill(getpid(), lost_tid, SIGUSR1) == -1 && errno == ESRCH);
  return 0;
}

volatile int struck;
sem_t let_go;

void* waits_to_go(void* argument) {
  while (sem_wait(&let_go) != 0) {
  }
  return argument;
}

// Threads of the child must not be taken for lost ones, though libc would give them their handles.
int reused_child() {
  struck = 0;
  signal(SIGUSR1, [](int) { struck = 1; });
  pthread_t fresh[8];
  sem_init(&let_go, 0, 0);
  for (pthread_t& thread : fresh) {
    STEP(1, run_thread(thread, waits_to_go, &thread));
    STEP(2, !pthread_equal(thread, lost));
  }
  STEP(3, pthread_kill(lost, SIGUSR1) == ESRCH);
  STEP(4, pthread_cancel(lost) == ESRCH);
  STEP(5, pthread_join(lost, nullptr) == 0);
  for (size_t i = 0; i < std::size(fresh); i++) sem_post(&let_go);
  for (pthread_t& thread : fresh) {
    void* result = nullptr;
    STEP(6, pthread_join(thread, &result) == 0);
    STEP(7, result == &thread);
  }
  STEP(8, struck == 0);
  return 0;
}

}  // namespace

int join_case() {
  if (named("pthread_join-own-stack")) {
    start_on_own_stack(sleeps);
  } else {
    start(sleeps);
  }
  return in_child(join_child);
}

int handle_case() {
  start(sleeps);
  return in_child(handle_child);
}

int reused_case() {
  start(sleeps);
  return in_child(reused_child);
}

}  // namespace primitive
