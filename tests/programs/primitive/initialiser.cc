// Static initialisers and pthread_once, half run by a lost thread.
#include "tests/programs/primitive/primitive.h"

namespace primitive {
namespace {

pthread_once_t once = PTHREAD_ONCE_INIT;
volatile pid_t initialised_by;

void initialise() {
  if (initialised_by == 0) {
    initialised_by = getpid();
    sleeps();
  }
  initialised_by = getpid();
}

__attribute__((noinline)) int instance() {
  static const int value = [] {
    initialise();
    return 5;
  }();
  return value;
}

int initialiser_child() {
  if (named("pthread_once")) {
    STEP(1, pthread_once(&once, initialise) == 0);
  } else {
    STEP(2, instance() == 5);
    STEP(3, instance() == 5);
  }
  STEP(4, initialised_by == getpid());
  return 0;
}

}  // namespace

int initialiser_case() {
  if (named("pthread_once")) {
    start([] { pthread_once(&once, initialise); });
  } else {
    start([] { instance(); });
  }
  return in_child(initialiser_child);
}

}  // namespace primitive
