// Both headers in C++17 and C++20, with every warning; every overload of the wrapper.
//
// Prints "shim" or "no shim"; ends with 0, or the step that failed.
#include <forkmend/forkmend.h>
#include <forkmend/forkmend.hpp>

#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <type_traits>

static_assert(!std::is_copy_constructible_v<forkmend::runtime>);
static_assert(!std::is_move_constructible_v<forkmend::runtime>);

int main() {
  std::mutex mutex;
  std::recursive_mutex recursive;
  std::condition_variable cond;
  pthread_mutex_t raw_mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t raw_cond = PTHREAD_COND_INITIALIZER;
  pthread_rwlock_t raw_rwlock = PTHREAD_RWLOCK_INITIALIZER;
  sem_t semaphore;
  sem_init(&semaphore, 0, 1);

  int respawned = 0;
  forkmend::callbacks functions;
  functions.respawn = [&] { return ++respawned; };
  forkmend::runtime runtime("header", functions);
  const forkmend::runtime bare("bare");
  if (static_cast<bool>(runtime) != static_cast<bool>(bare)) return 1;
  if (runtime.adopt(mutex) != 0 || runtime.adopt(recursive) != 0 || runtime.adopt(cond) != 0)
    return 2;
  if (runtime.adopt(&raw_mutex) != 0 || runtime.adopt(&raw_cond) != 0) return 3;
  if (runtime.adopt(&raw_rwlock) != 0 || runtime.adopt(&semaphore) != 0) return 4;
  if (runtime.adopt_this_thread() != 0 || runtime.enqueue() != 0 || runtime.lost()) return 5;
  if (respawned != 0) return 6;
  std::puts(runtime ? "shim" : "no shim");
  return 0;
}
