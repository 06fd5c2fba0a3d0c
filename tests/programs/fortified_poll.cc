// A thread that waits in poll, called as __poll_chk: built with _FORTIFY_SOURCE, where the compiler
// knows the array's size and not the count. A fork must not take it for one that runs.
//
//   fortified_poll            forks, and the child uses the thread
//   fortified_poll overflow   more descriptors than the array has: libc's own end (SIGABRT)
#include <atomic>

#include "tests/programs/victim.h"

using namespace victim;

namespace {

volatile nfds_t how_many = 1;
std::atomic<bool> asked{false};
sem_t answered;

int look(int descriptor, int ms) {
  pollfd descriptors[2] = {{descriptor, POLLIN, 0}, {-1, 0, 0}};
  const nfds_t count = how_many;
  return poll(descriptors, count, ms);
}

void* serve(void* never_ready) {
  for (;;) {
    if (asked.exchange(false)) sem_post(&answered);
    look(*static_cast<int*>(never_ready), 10);
  }
}

void use() {
  asked.store(true);
  while (sem_wait(&answered) != 0) {
  }
}

}  // namespace

int main(int, char** arguments) {
  int ends[2];
  if (pipe(ends) != 0) set_up_failed("pipe");
  if (is(arguments[1], "overflow")) {
    how_many = 3;
    return look(ends[0], 0) < 0 ? 1 : 2;
  }
  sem_init(&answered, 0, 0);
  pthread_t thread;
  if (pthread_create(&thread, nullptr, serve, &ends[0]) != 0) set_up_failed("pthread_create");
  use();
  const int code = reap(spawn([] {
    step("asks");
    use();
    return 0;
  }));
  use();
  return code;
}
