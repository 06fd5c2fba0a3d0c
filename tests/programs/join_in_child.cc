// A child of a process with a second thread creates threads and joins them: each join gives what
// its thread returned. One that takes a thread which has just ended for a lost one returns at once,
// with nothing.
//
//   join_in_child JOINS [own|reused]
//
// `own`: each thread on a stack of the program's own, which is unmapped after the join. The thread
// ends while it is joined. `reused`: all on the stack of the lost thread, and so with its handle;
// each has ended, by the kernel, before it is joined. Prints how many joins were wrong.
#include <sys/mman.h>

#include <atomic>

#include "tests/programs/victim.h"

namespace {

constexpr size_t kStack = 64 * 1024;

std::atomic<long> ending{0};  // the round whose thread is about to return
std::atomic<pid_t> tid{0};

void* give_back(void* argument) {
  tid = static_cast<pid_t>(syscall(SYS_gettid));
  ending = reinterpret_cast<long>(argument);
  return argument;
}

// Until the thread ends, and a few nanoseconds more or less from round to round.
void wait_for_the_end(long round) {
  while (ending != round) sched_yield();
  std::atomic<long> left{round % 512};
  while (left.load(std::memory_order_relaxed) > 0)
    left.store(left.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
}

enum class Stacks { libcs, own, reused };

void* new_stack() {
  void* stack = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack == MAP_FAILED) victim::set_up_failed("mmap");
  return stack;
}

pthread_t create_on(void* stack, void* (*start)(void*), void* argument) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (stack != nullptr) pthread_attr_setstack(&attributes, stack, kStack);
  pthread_t thread;
  if (pthread_create(&thread, &attributes, start, argument) != 0) _exit(victim::kSetUpFailed);
  pthread_attr_destroy(&attributes);
  return thread;
}

bool is_right(long round, Stacks stacks, void* stack) {
  if (stacks == Stacks::own) stack = new_stack();
  const pthread_t thread = create_on(stack, give_back, reinterpret_cast<void*>(round));
  wait_for_the_end(round);
  if (stacks == Stacks::reused) {
    while (syscall(SYS_tgkill, getpid(), tid.load(), 0) == 0) sched_yield();
  }
  void* result = nullptr;
  const int error = pthread_join(thread, &result);
  // After a wrong join the thread may still be on it.
  const bool right = error == 0 && result == reinterpret_cast<void*>(round);
  if (stacks == Stacks::own && right) munmap(stack, kStack);
  return right;
}

}  // namespace

int main(int, char** arguments) {
  const long joins = atol(arguments[1]);
  const Stacks stacks = victim::is(arguments[2], "own")      ? Stacks::own
                        : victim::is(arguments[2], "reused") ? Stacks::reused
                                                             : Stacks::libcs;
  void* stack = stacks == Stacks::reused ? new_stack() : nullptr;
  create_on(
      stack, [](void*) -> void* { victim::sleep_for_ever(); }, nullptr);
  const pid_t child = victim::spawn([&] {
    long wrong = 0;
    for (long i = 1; i <= joins; i++) wrong += is_right(i, stacks, stack) ? 0 : 1;
    victim::step("wrong", wrong);
    return wrong == 0 ? 0 : 1;
  });
  _exit(victim::reap(child, 500'000));
}
