// A thread that is started with a block of memory gives it back before its creator is back from
// libc: the block holds the pthread_t that pthread_create (or thrd_create) was to fill. libc fills
// it before the thread runs and never looks at it again; who does reads what is not mapped.
//
//   create_frees THREADS [c11] [parent]
//
// In a child of a process with a second thread; `parent`: in that process itself.
#include <sys/mman.h>
#include <threads.h>

#include <atomic>

#include "tests/programs/victim.h"

namespace {

struct alignas(4096) Task {
  pthread_t thread;
};
std::atomic<long> ended{0};
std::atomic<long> unknown{0};

void give_back(void* argument) {
  auto* task = static_cast<Task*>(argument);
  if (!pthread_equal(task->thread, pthread_self())) unknown++;
  munmap(task, sizeof *task);
  pthread_detach(pthread_self());
  ended++;
}

int create(Task* task, bool c11) {
  if (c11)
    return thrd_create(
        &task->thread, [](void* argument) { return give_back(argument), 0; }, task);
  return pthread_create(
      &task->thread, nullptr, [](void* argument) -> void* { return give_back(argument), nullptr; },
      task);
}

int run(long count, bool c11) {
  for (long i = 0; i < count; i++) {
    void* memory =
        mmap(nullptr, sizeof(Task), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || create(static_cast<Task*>(memory), c11) != 0)
      return victim::kSetUpFailed;
    if (i % 64 == 63)  // no more at a time than a small machine bears
      while (ended <= i) sched_yield();
  }
  while (ended < count) sched_yield();
  return unknown == 0 ? 0 : 1;
}

}  // namespace

int main(int, char** arguments) {
  const long count = atol(arguments[1]);
  bool c11 = false, parent = false;
  while (*++arguments != nullptr) {
    c11 = c11 || victim::is(*arguments, "c11");
    parent = parent || victim::is(*arguments, "parent");
  }
  pthread_t other;
  pthread_create(
      &other, nullptr, [](void*) -> void* { victim::sleep_for_ever(); }, nullptr);
  if (parent) _exit(run(count, c11));
  _exit(victim::reap(victim::spawn([&] { return run(count, c11); })));
}
