// The child joins a thread that ran only in the parent.
//
//   lost_join           on a stack of the caller's: hangs for ever on every libc
//   lost_join c11       the same through thrd_join
//   lost_join timed     with a time limit: ETIMEDOUT, and no report: the wait ends by itself
#include <errno.h>
#include <sys/mman.h>
#include <threads.h>

#include "tests/programs/victim.h"

namespace {

pid_t worker_tid;

void* worker(void* ready) {
  pthread_setname_np(pthread_self(), "worker");
  worker_tid = gettid();
  static_cast<victim::Event*>(ready)->raise();
  victim::sleep_for_ever();
}

pthread_t start_on_own_stack(victim::Event& ready) {
  constexpr size_t kStack = 256 * 1024;
  void* stack = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, stack, kStack);
  pthread_t thread;
  if (pthread_create(&thread, &attributes, worker, &ready) != 0)
    victim::set_up_failed("pthread_create");
  return thread;
}

}  // namespace

__attribute__((noinline)) int stop_workers(pthread_t thread, const char* mode) {
  victim::step("joins");
  int error;
  if (victim::is(mode, "c11")) {
    error = thrd_join(thread, nullptr) == thrd_success ? 0 : 1;
  } else if (victim::is(mode, "timed")) {
    timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += 2;
    error = pthread_clockjoin_np(thread, nullptr, CLOCK_MONOTONIC, &deadline) == ETIMEDOUT ? 0 : 2;
  } else {
    error = pthread_join(thread, nullptr);
  }
  asm volatile("");
  return error;
}

int main(int, char** arguments) {
  victim::Event ready;
  const pthread_t thread = start_on_own_stack(ready);
  ready.wait();
  victim::wait_until_asleep(worker_tid);
  const pid_t child = victim::spawn([&] { return stop_workers(thread, arguments[1]); });
  _exit(victim::reap(child));
}
