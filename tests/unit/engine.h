// The engine inside a test program: no interposers, no constructor, no Python.
//
// State of the engine is that of a process. A test that changes it runs in one of its own: see
// in_fresh_process. Threads are made with start(), which goes through the engine's trampoline.
#pragma once

#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "shim/base/real.h"
#include "shim/base/token.h"
#include "shim/runtimes/runtime.h"
#include "shim/threads/thread.h"

namespace forkmend {

// The key to functions of the child path, in one process and without a fork.
class ChildEntryForTests {
 public:
  static const ChildEntry& get() {
    static const ChildEntry entry;
    return entry;
  }
};

}  // namespace forkmend

namespace unit {

void begin_engine();

// Runs body in a forked process; the exit code is 0, that of the failed expectation (its line), or
// 128 + signal. It is killed after 30 s.
int in_fresh_process(const std::function<void()>& body);

// For use in a forked process, where doctest's counts are lost.
#define EXPECT(condition)                                                     \
  do {                                                                        \
    if (!(condition)) {                                                       \
      fprintf(stderr, "%s:%d: EXPECT(%s)\n", __FILE__, __LINE__, #condition); \
      _exit(1);                                                               \
    }                                                                         \
  } while (false)

// Starts a thread through the engine, and returns when it runs; `runtime` not null: it has adopted
// itself into it by then.
pthread_t start(std::function<void()> body, forkmend_runtime* runtime = nullptr);
void join(pthread_t thread);

// What the interposed fork does.
pid_t fork_through_engine();
// Exit code of a child, or 128 + signal; killed after 30 s.
int reap(pid_t pid);

// Where a call of the tests' own comes from.
inline const void* here() { return __builtin_return_address(0); }

}  // namespace unit
