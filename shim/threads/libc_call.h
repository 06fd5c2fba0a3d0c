// What a record says of a function of libc that its thread is inside of.
#pragma once

#include <atomic>

namespace forkmend {

// A function of libc that takes a lock which no fork resets (locks/libc_calls.h).
struct LibcFunction {
  const char* name;
  const char* lock;  // what it guards: functions that share one name the same
  bool
      polls_without_lock;  // it holds nothing while it waits in poll: a resolver that asks a server
};

// The outermost such call that a thread is in.
struct LibcCall {
  std::atomic<const void*> frame;  // where it stands on the stack; null: in none
  const LibcFunction* function;
  bool closed_door;         // this thread forks: it passes
  bool left_others_inside;  // its fork could not wait for all
};

}  // namespace forkmend
