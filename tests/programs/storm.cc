// Many children lock up in the same place, one after the other: reports must not storm.
//
//   storm N
#include <thread>

#include "tests/programs/victim.h"

namespace {
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
}

int main(int, char** arguments) {
  victim::Event held;
  std::thread holder([&] {
    pthread_mutex_lock(&mutex);
    held.raise();
    victim::sleep_for_ever();
  });
  held.wait();
  for (int i = 0; i < atoi(arguments[1]); i++) {
    const pid_t child = victim::spawn([] { return pthread_mutex_lock(&mutex); });
    if (victim::reap(child, 500) != victim::kHung) _exit(1);
  }
  _exit(0);
}
