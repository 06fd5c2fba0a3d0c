// As many threads as there can be, at most so many; a fork in the middle; all are joined.
//
//   thread_crowd THREADS
#include <sys/mman.h>

#include <atomic>
#include <vector>

#include "tests/programs/ordinary.h"

namespace {

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t let_go = PTHREAD_COND_INITIALIZER;
bool gone = false;

void* wait_until_let_go(void* argument) {
  pthread_mutex_lock(&mutex);
  while (!gone) pthread_cond_wait(&let_go, &mutex);
  pthread_mutex_unlock(&mutex);
  return argument;
}

// The child has one thread, and can have others.
int child_works() { return victim::count_tasks() == 1 ? ordinary::serve_all(4, nullptr) : 1; }

}  // namespace

int main(int, char** arguments) {
  const size_t most = strtoul(arguments[1], nullptr, 10);
  constexpr size_t kStack = 16 * 1024;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (pthread_attr_setstacksize(&attributes, kStack) != 0) victim::set_up_failed("stack size");
  pthread_attr_setguardsize(&attributes, 0);  // one mapping a thread: vm.max_map_count is 65,530
  std::vector<pthread_t> threads;
  threads.reserve(most);
  while (threads.size() < most) {
    pthread_t thread;
    const int error = pthread_create(&thread, &attributes, wait_until_let_go, &threads);
    if (error == EAGAIN) break;  // the machine has no more
    if (error != 0) _exit(10);
    threads.push_back(thread);
    if (threads.size() != most / 2) continue;
    if (const int code = victim::reap(victim::spawn(child_works))) _exit(20 + code);
  }
  victim::step("threads", static_cast<long>(threads.size()));
  if (threads.size() < most / 2) {
    if (const int code = victim::reap(victim::spawn(child_works))) _exit(20 + code);
  }
  pthread_mutex_lock(&mutex);
  gone = true;
  pthread_cond_broadcast(&let_go);
  pthread_mutex_unlock(&mutex);
  for (const pthread_t thread : threads) {
    void* result = nullptr;
    if (pthread_join(thread, &result) != 0 || result != &threads) _exit(30);
  }
  _exit(victim::count_tasks() == 1 ? 0 : 40);
}
