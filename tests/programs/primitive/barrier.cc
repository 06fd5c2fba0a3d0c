// Barriers that lost threads have come to.
#include <thread>

#include "tests/programs/primitive/primitive.h"

namespace primitive {
namespace {

pthread_barrier_t barrier;

void waits_at_barrier() {
  announce();
  pthread_barrier_wait(&barrier);
  victim::sleep_for_ever();
}

int barrier_child() {
  if (named("pthread_barrier_destroy")) {
    STEP(1, pthread_barrier_destroy(&barrier) == 0);
    STEP(2, pthread_barrier_init(&barrier, nullptr, 2) == 0);
  } else {
    // The lost thread had come: this arrival ends the round.
    pthread_barrier_wait(&barrier);
  }
  // And it serves two threads of the child, as often as they like.
  int rounds = 0;
  std::thread other([] {
    for (int i = 0; i < 3; i++) pthread_barrier_wait(&barrier);
  });
  for (; rounds < 3; rounds++) pthread_barrier_wait(&barrier);
  other.join();
  STEP(3, pthread_barrier_destroy(&barrier) == 0);
  return 0;
}

}  // namespace

int barrier_case() {
  pthread_barrier_init(&barrier, nullptr, 2);
  start(waits_at_barrier);
  return in_child(barrier_child);
}

}  // namespace primitive
