// A parent with very many threads forks.
//
//   many_threads THREADS FORKS
#include <sys/resource.h>

#include <atomic>

#include "tests/programs/victim.h"

namespace {

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t never = PTHREAD_COND_INITIALIZER;
std::atomic<int> arrived{0};

void* wait_for_ever(void*) {
  pthread_mutex_lock(&mutex);
  arrived++;
  for (;;) pthread_cond_wait(&never, &mutex);
}

void* nothing(void*) { return nullptr; }

}  // namespace

int main(int, char** arguments) {
  const int threads = atoi(arguments[1]), forks = atoi(arguments[2]);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 32 * 1024);
  pthread_attr_setguardsize(&attributes, 0);  // one mapping a thread: vm.max_map_count is 65,530
  for (int i = 0; i < threads; i++) {
    pthread_t thread;
    const int error = pthread_create(&thread, &attributes, wait_for_ever, nullptr);
    if (error != 0) {
      errno = error;
      victim::set_up_failed("pthread_create");
    }
  }
  while (arrived < threads) sched_yield();
  const long start = victim::now_ns();
  for (int i = 0; i < forks; i++) {
    const pid_t child = victim::spawn([&] {
      if (victim::count_tasks() != 1) return 1;
      // The mutex may be held by a thread that was just arriving; all have arrived, so it is free.
      if (pthread_mutex_lock(&mutex) != 0 || pthread_mutex_unlock(&mutex) != 0) return 2;
      pthread_t thread;
      if (pthread_create(&thread, &attributes, nothing, nullptr) != 0) return 3;
      return pthread_join(thread, nullptr) == 0 ? 0 : 4;
    });
    if (const int code = victim::reap(child)) _exit(code);
  }
  victim::step("forked", (victim::now_ns() - start) / forks / 1000);
  _exit(victim::count_tasks() == threads + 1 ? 0 : 5);
}
