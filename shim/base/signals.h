// Signals by raw system calls: what libc's own functions hide or forbid.
//
// Promises: async-signal-safe. Does not: know what a signal means to the program.
#pragma once

#include <signal.h>

#include "shim/base/syscall.h"

namespace forkmend::sys {

// The kernel's own layout of struct sigaction: libc's differs.
struct KernelSigaction {
  void (*handler)(int);
  unsigned long flags;
#if defined(__x86_64__)
  void (*restorer)();
#endif
  unsigned long mask;
  bool has_function() const { return handler != SIG_DFL && handler != SIG_IGN; }
};
inline bool read_action(int signal, KernelSigaction& action) {
  return call(SYS_rt_sigaction, signal, 0, arg(&action), sizeof action.mask) == 0;
}

inline constexpr int kLastSignal = 64;  // SIGRTMAX, which is a function call

// A set is a word; signal n is its bit n-1.
constexpr unsigned long signal_bit(int signal) { return 1ul << (signal - 1); }
constexpr bool has_signal(unsigned long set, int signal) { return (set & signal_bit(signal)) != 0; }

// libc's own, for cancellation and setuid: setuid() waits until every thread has answered. Before
// glibc 2.34 their handlers are there from the start.
inline constexpr unsigned long kLibcSignals = signal_bit(32) | signal_bit(33);
// Those that a thread raises itself, by what it does: a process that blocks one is killed by it.
inline constexpr unsigned long kSynchronousSignals = signal_bit(SIGSEGV) | signal_bit(SIGBUS) |
                                                     signal_bit(SIGFPE) | signal_bit(SIGILL) |
                                                     signal_bit(SIGTRAP) | signal_bit(SIGSYS);

// The calling thread blocks these signals for the life of the object, beside those that it did.
class SignalsBlocked {
 public:
  explicit SignalsBlocked(unsigned long set) {
    call(SYS_rt_sigprocmask, SIG_BLOCK, arg(&set), arg(&before_), sizeof set);
  }
  ~SignalsBlocked() { call(SYS_rt_sigprocmask, SIG_SETMASK, arg(&before_), 0, sizeof before_); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

  // Of those that the thread did not block before: what has come meanwhile.
  unsigned long pending() const {
    unsigned long set = 0;
    call(SYS_rt_sigpending, arg(&set), sizeof set);
    return set & ~before_;
  }

 private:
  unsigned long before_ = 0;
};

}  // namespace forkmend::sys
