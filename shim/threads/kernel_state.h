// What the kernel says of a thread: /proc/self/task/TID/stat.
// Promises: raw system calls only, a few microseconds.
#pragma once

#include <cstdint>

#include "shim/base/text.h"

namespace forkmend {

enum class KernelState : std::uint8_t { gone, sleeping, other };

// The state letter of field 3 ('S', 'R', 'D', …), or '\0' if there is no such thread.
char kernel_state_letter(int tid);

inline KernelState kernel_state(int tid) {
  const char letter = kernel_state_letter(tid);
  if (letter == '\0' || letter == 'X' || letter == 'Z') return KernelState::gone;
  return letter == 'S' ? KernelState::sleeping : KernelState::other;
}

// What it is doing, for a person: the system call it is in and the address it was made from, from
// /proc/self/task/TID/syscall ("running" where it is in none).
struct KernelActivity {
  long syscall;             // -1: running, or not asked
  std::uintptr_t argument;  // its first argument: the word of a futex, a descriptor
  std::uintptr_t sp;        // stack pointer
  std::uintptr_t address;   // instruction pointer; 0 while running
};
KernelActivity kernel_activity(int tid);
// The same of the main thread of another process, of this user's.
KernelActivity process_activity(int pid);

// Threads of this process, by /proc/self/task; -1 if it cannot be read.
int count_tasks();

}  // namespace forkmend
