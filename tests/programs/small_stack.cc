// Threads whose stacks are small and nearly full: what the shim does on them must fit.
//
//   small_stack report SIZE USED      a thread with SIZE bytes of stack, USED of them in use, wants
//   a
//                                     lock that a lost thread holds
//   small_stack alternate SIZE USED   the same inside a signal handler, on an alternate stack
//   small_stack coroutine SIZE USED   the same on a stack of the program's own (makecontext)
//   small_stack painted WHAT          prints how much of a thread's stack one call takes:
//                                     create, fork, wait, or lock (one that is opened)
//
// Below each stack lies a page without access: an overflow kills. Without the shim the thread waits
// for ever, and the child's other threads live on.
#include <sys/mman.h>
#include <ucontext.h>

#include "tests/programs/victim.h"

namespace {

using victim::is;

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
size_t stack_size, used;

void* hold(void* held) {
  pthread_mutex_lock(&mutex);
  static_cast<victim::Event*>(held)->raise();
  victim::sleep_for_ever();
}

// With a page below it that nobody may touch.
char* new_stack(size_t size) {
  char* low = static_cast<char*>(
      mmap(nullptr, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (low == MAP_FAILED || mprotect(low, 4096, PROT_NONE) != 0) victim::set_up_failed("stack");
  return low + 4096;
}

__attribute__((noinline)) void use_and_lock() {
  char in_use[used];
  memset(in_use, 1, used);
  victim::step("locks");
  pthread_mutex_lock(&mutex);
  asm volatile("" : : "r"(in_use) : "memory");
}

void* thread(void*) {
  use_and_lock();
  return nullptr;
}

void start(void* (*body)(void*), void* argument, char* stack, size_t size) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (pthread_attr_setstack(&attributes, stack, size) != 0) victim::set_up_failed("setstack");
  pthread_t made;
  if (pthread_create(&made, &attributes, body, argument) != 0) victim::set_up_failed("create");
}

int in_child(const char* where) {
  if (is(where, "report")) {
    start(thread, nullptr, new_stack(stack_size), stack_size);
  } else if (is(where, "alternate")) {
    start(
        [](void*) -> void* {
          const stack_t own{new_stack(stack_size), 0, stack_size};
          sigaltstack(&own, nullptr);
          struct sigaction action {};
          action.sa_handler = [](int) { use_and_lock(); };
          action.sa_flags = SA_ONSTACK;
          sigaction(SIGUSR1, &action, nullptr);
          pthread_kill(pthread_self(), SIGUSR1);
          return nullptr;
        },
        nullptr, new_stack(256 * 1024), 256 * 1024);
  } else {
    start(
        [](void*) -> void* {
          static ucontext_t here, there;
          getcontext(&there);
          there.uc_stack = {new_stack(stack_size), 0, stack_size};
          there.uc_link = &here;
          makecontext(&there, use_and_lock, 0);
          swapcontext(&here, &there);
          return nullptr;
        },
        nullptr, new_stack(256 * 1024), 256 * 1024);
  }
  victim::sleep_for_ever();
}

// --- how much one call takes ---------------------------------------------------------------------

const char* what;

void* nothing(void*) { return nullptr; }

void call() {
  if (is(what, "create")) {
    pthread_t made;
    if (pthread_create(&made, nullptr, nothing, nullptr) == 0) pthread_join(made, nullptr);
  } else if (is(what, "fork")) {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    victim::reap(child);
  } else if (is(what, "wait")) {
    static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    static pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
    timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec = (soon.tv_nsec + 1'000'000) % 1'000'000'000;
    pthread_mutex_lock(&own);
    pthread_cond_timedwait(&cond, &own, &soon);
    pthread_mutex_unlock(&own);
  } else {
    pthread_mutex_lock(&mutex);  // of a lost thread, with FORKMEND_ORPHANS=reset
    pthread_mutex_unlock(&mutex);
  }
}

constexpr char kPaint = 0x5a;
constexpr size_t kPainted = 192 * 1024;

// Paints what lies below this frame, calls, and counts what is no longer as it was painted.
__attribute__((noinline)) void* paint_and_call(void* low) {
  auto* const begin = static_cast<char*>(low);
  auto* const here = static_cast<char*>(__builtin_frame_address(0)) - 512;
  for (char* at = begin; at < here; at++) *static_cast<volatile char*>(at) = kPaint;
  call();
  char* at = begin;
  while (at < here && *static_cast<volatile char*>(at) == kPaint) at++;
  victim::step("used", here - at);
  return nullptr;
}

int painted() {
  char* stack = new_stack(kPainted);
  start(paint_and_call, stack, stack, kPainted);
  victim::sleep_for_ever();
}

}  // namespace

int main(int, char** arguments) {
  const bool measures = is(arguments[1], "painted");
  if (measures) {
    what = arguments[2];
  } else {
    stack_size = static_cast<size_t>(atol(arguments[2]));
    used = static_cast<size_t>(atol(arguments[3]));
  }
  if (measures && (is(what, "create") || is(what, "fork"))) painted();
  victim::Event held;
  pthread_t holder;
  pthread_create(&holder, nullptr, hold, &held);
  held.wait();
  const pid_t child = victim::spawn([&] { return measures ? painted() : in_child(arguments[1]); });
  _exit(victim::reap(child));
}
