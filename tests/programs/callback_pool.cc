// A library with a thread of its own, for a program in Python (tests/preload/resume_refused.py):
// the thread waits for jobs as it is, with a Python thread state, on a coroutine's stack, in a
// greenlet or after it has been in some, is inside a Python function, or waits for a lock that one
// of Python's threads holds (also of resume_callers.py: one is inside of the library).
#include <pthread.h>
#include <time.h>
#include <ucontext.h>

#include <cstdlib>
#include <string>

namespace {

// CPython's C API, by address: this library is built without its headers.
struct Python {
  int (*ensure)();
  void* (*save)();
  void (*call)();  // a Python function: blocks, runs greenlets, or calls pool_serve()
};

Python python;
std::string where;
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t more = PTHREAD_COND_INITIALIZER, done = PTHREAD_COND_INITIALIZER;
pthread_mutex_t wanted = PTHREAD_MUTEX_INITIALIZER;
int jobs = 0, finished = 0;
bool held = false;
bool ready = false;

void wait_for_jobs() {
  pthread_mutex_lock(&mutex);
  ready = true;
  pthread_cond_broadcast(&done);
  for (;;) {
    while (finished == jobs) pthread_cond_wait(&more, &mutex);
    finished++;
    pthread_cond_broadcast(&done);
  }
}

void on_a_stack_of_its_own() {
  constexpr size_t kSize = size_t{256} << 10;
  static ucontext_t coroutine, own;
  getcontext(&coroutine);
  coroutine.uc_stack.ss_sp = malloc(kSize);
  coroutine.uc_stack.ss_size = kSize;
  coroutine.uc_link = &own;
  makecontext(&coroutine, wait_for_jobs, 0);
  swapcontext(&own, &coroutine);
}

void* work(void*) {
  if (where == "interpreter") {
    python.call();
    return nullptr;
  }
  if (where == "greenlet" || where == "left-greenlets") python.call();
  if (where == "contender") {
    pthread_mutex_lock(&wanted);
    pthread_mutex_unlock(&wanted);
  }
  if (where == "state") {
    python.ensure();
    python.save();
  }
  if (where == "coroutine") {
    on_a_stack_of_its_own();
  } else {
    wait_for_jobs();
  }
  return nullptr;
}

}  // namespace

extern "C" {

int pool_start(const char* thread_is, int (*ensure)(), void* (*save)(), void (*call)()) {
  where = thread_is;
  python = {ensure, save, call};
  pthread_t thread;
  const int error = pthread_create(&thread, nullptr, work, nullptr);
  if (error != 0 || where == "interpreter" || where == "contender") return error;
  pthread_mutex_lock(&mutex);
  while (!ready) pthread_cond_wait(&done, &mutex);
  pthread_mutex_unlock(&mutex);
  return 0;
}

// Called by the pool's own thread, in a greenlet of Python's.
void pool_serve() { wait_for_jobs(); }

// Called by a thread of Python's, which never returns from it.
void pool_hold() {
  pthread_mutex_lock(&wanted);
  pthread_mutex_lock(&mutex);
  held = true;
  pthread_cond_broadcast(&done);
  while (held) pthread_cond_wait(&done, &mutex);
}

void pool_wait_until_held() {
  pthread_mutex_lock(&mutex);
  while (!held) pthread_cond_wait(&done, &mutex);
  pthread_mutex_unlock(&mutex);
}

// Called by a thread of Python's: computes for a millisecond, with a lock.
void pool_compute() {
  pthread_mutex_lock(&wanted);
  timespec start, now;
  clock_gettime(CLOCK_MONOTONIC, &start);
  do {
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while ((now.tv_sec - start.tv_sec) * 1'000'000'000L + now.tv_nsec - start.tv_nsec < 1'000'000);
  pthread_mutex_unlock(&wanted);
}

void pool_submit() {
  pthread_mutex_lock(&mutex);
  jobs++;
  pthread_cond_signal(&more);
  pthread_mutex_unlock(&mutex);
}

void pool_wait() {
  pthread_mutex_lock(&mutex);
  while (finished < jobs) pthread_cond_wait(&done, &mutex);
  pthread_mutex_unlock(&mutex);
}

}  // extern "C"
