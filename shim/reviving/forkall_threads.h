// The lost threads that policy forkall looks at, for its own files.
#pragma once

#include "shim/forking/standstill.h"
#include "shim/runtimes/runtime.h"
#include "shim/threads/stacks.h"
#include "shim/threads/thread.h"

namespace forkmend::forkall {

// A lost thread that stood, and has not been left alone.
inline bool may_go_on(const Thread& t) {
  const Stack* s = t.stack.load(std::memory_order_relaxed);
  return s != nullptr && threads::is_lost(t) && t.runtime != nullptr &&
         t.runtime->policy == Policy::forkall && !s->left_alone && standstill::stood(*s);
}

template <class Visit>
void for_each_waiting(Visit&& visit) {
  threads::for_each_lost([&](Thread& t) {
    if (may_go_on(t)) visit(t);
    return true;
  });
}

// Makes it anew now; `why` for the log.
void go_on(Thread& t, const char* why);
// The same, or later where nothing may be made anew now.
void meet(Thread& t, const char* why, bool in_handlers);
// In this thread libc's fork has not returned yet.
bool is_in_fork();

}  // namespace forkmend::forkall
