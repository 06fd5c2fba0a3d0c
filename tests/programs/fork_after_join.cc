// A process whose threads have ended forks: its page was armed for raw forks and has one thread
// again. The child makes threads of its own, one of which holds a lock while the main thread waits
// for it: they are alive, and no wait on them is a lockup.
#include <thread>

#include "tests/programs/victim.h"

namespace {
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
}

int main() {
  std::thread([] {}).join();
  const pid_t child = victim::spawn([] {
    pthread_mutex_lock(&mutex);  // the first interposed call in the child
    pthread_mutex_unlock(&mutex);
    victim::Event held;
    std::thread holder([&] {
      pthread_mutex_lock(&mutex);
      held.raise();
      const timespec pause{1, 500'000'000};
      nanosleep(&pause, nullptr);
      pthread_mutex_unlock(&mutex);
    });
    held.wait();
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    holder.join();
    // And once more with nothing lost in between.
    const pid_t grandchild = victim::spawn([] { return pthread_mutex_lock(&mutex); });
    return victim::reap(grandchild);
  });
  return victim::reap(child);
}
