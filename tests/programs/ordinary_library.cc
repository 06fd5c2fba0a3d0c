// Ordinary work in a library, for a namespace of its own (dlmopen): it has a libc of its own there.
#include "tests/programs/ordinary.h"

namespace {
pthread_t sleeper;
}

extern "C" int work_here() { return ordinary::work(); }
// A thread that a fork of the program loses.
extern "C" int start_thread_here() {
  return pthread_create(&sleeper, nullptr, ordinary::sleep_until_cancelled, nullptr);
}
extern "C" int end_thread_here() {
  void* result = nullptr;
  return pthread_cancel(sleeper) != 0 || pthread_join(sleeper, &result) != 0 ||
         result != PTHREAD_CANCELED;
}
