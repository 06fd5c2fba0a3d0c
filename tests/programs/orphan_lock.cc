// A thread holds a lock at the fork; the child wants it.
//
//   orphan_lock normal|recursive|errorcheck|adaptive|robust|c11|rwlock-write|rwlock-read [NAME]
//
// NAME: the thread's, at most 15 bytes of any value.
//
// Without the shim the child waits for ever. With it: a certain lockup (cause orphaned-lock), or
// with FORKMEND_ORPHANS=reset the lock opens and the child goes on to 0.
#include <errno.h>
#include <threads.h>

#include <thread>

#include "tests/programs/victim.h"

namespace {

using victim::is;

pthread_mutex_t mutex;
mtx_t c11_mutex;
pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

int type_of(const char* kind) {
  if (is(kind, "recursive")) return PTHREAD_MUTEX_RECURSIVE;
  if (is(kind, "errorcheck")) return PTHREAD_MUTEX_ERRORCHECK;
  if (is(kind, "adaptive")) return PTHREAD_MUTEX_ADAPTIVE_NP;
  return PTHREAD_MUTEX_NORMAL;
}

void prepare(const char* kind) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, type_of(kind));
  if (is(kind, "robust")) pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&mutex, &attributes);
  mtx_init(&c11_mutex, mtx_plain);
}

int take(const char* kind) {
  if (is(kind, "c11")) return mtx_lock(&c11_mutex) == thrd_success ? 0 : 2;
  if (is(kind, "rwlock-write")) return pthread_rwlock_wrlock(&rwlock) == 0 ? 0 : 3;
  if (is(kind, "rwlock-read")) return pthread_rwlock_rdlock(&rwlock) == 0 ? 0 : 4;
  int error = pthread_mutex_lock(&mutex);
  if (error == EOWNERDEAD && is(kind, "robust")) error = pthread_mutex_consistent(&mutex);
  return error == 0 ? 0 : 5;
}

void give_back(const char* kind) {
  if (is(kind, "c11")) {
    mtx_unlock(&c11_mutex);
  } else if (is(kind, "rwlock-write") || is(kind, "rwlock-read")) {
    pthread_rwlock_unlock(&rwlock);
  } else {
    pthread_mutex_unlock(&mutex);
  }
}

}  // namespace

__attribute__((noinline)) int handle_request(const char* kind) {
  victim::step("locks");
  const int code = take(kind);
  asm volatile("");  // no tail call: this frame is looked for in the report
  return code;
}

int main(int, char** arguments) {
  const char* kind = arguments[1];
  prepare(kind);
  victim::Event held;
  pid_t tid = 0;
  std::thread holder([&] {
    pthread_setname_np(pthread_self(), arguments[2] != nullptr ? arguments[2] : "holder");
    // Of a read-write lock the writer is the one that holds it, whatever the child wants.
    take(is(kind, "rwlock-read") ? "rwlock-write" : kind);
    tid = gettid();
    held.raise();
    victim::sleep_for_ever();
  });
  held.wait();
  victim::wait_until_asleep(tid);
  const pid_t child = victim::spawn([&] {
    if (const int code = handle_request(kind)) return code;
    give_back(kind);
    // It is a whole lock again.
    if (const int code = take(kind)) return code + 10;
    give_back(kind);
    return 0;
  });
  _exit(victim::reap(child));
}
