// A library whose constructor forks, before the preload's constructor has run.
#include "tests/programs/victim.h"

namespace {

__attribute__((constructor)) void fork_early() {
  const pid_t child = victim::spawn([] {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    return pthread_mutex_lock(&mutex);
  });
  if (victim::reap(child) != 0) _exit(41);
}

}  // namespace

extern "C" int library_was_here() { return 1; }
