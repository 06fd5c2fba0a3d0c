#include "shim/waiting/restart.h"

#include <signal.h>

#include "shim/base/syscall.h"

namespace forkmend::restart {
namespace {

// The kernel's own layout of struct sigaction: libc's differs.
struct KernelSigaction {
  void (*handler)(int);
  unsigned long flags;
#if defined(__x86_64__)
  void (*restorer)();
#endif
  unsigned long mask;
};

constexpr int kSignals = 64;
// libc's own, SIGCANCEL and SIGSETXID: before glibc 2.34 their handlers are there from the start.
constexpr int kFirstInternal = 32, kLastInternal = 33;

// Visits the installed handlers: bool visit(signal, flags) says whether to go on.
template <class Visit>
void for_each_handler(Visit&& visit) {
  for (int signal = 1; signal <= kSignals; signal++) {
    if (signal >= kFirstInternal && signal <= kLastInternal) continue;
    KernelSigaction action{};
    if (sys::call(SYS_rt_sigaction, signal, 0, sys::arg(&action), sizeof action.mask) != 0)
      continue;
    if (action.handler == SIG_DFL || action.handler == SIG_IGN) continue;
    if (!visit(signal, action.flags)) return;
  }
}

}  // namespace

bool would_restart() {
  bool all = true;
  for_each_handler([&](int, unsigned long flags) { return all = (flags & SA_RESTART) != 0; });
  return all;
}

bool would_end(unsigned long signals) {
  if (signals == 0) return false;
  bool ends = false;
  for_each_handler([&](int signal, unsigned long flags) {
    ends = (signals >> (signal - 1) & 1) != 0 && (flags & SA_RESTART) == 0;
    return !ends;
  });
  return ends;
}

bool handled_signal_blocked() {
  unsigned long mask = 0;
  sys::call(SYS_rt_sigprocmask, SIG_BLOCK, 0, sys::arg(&mask), sizeof mask);
  bool any = false;
  if (mask == 0) return false;
  for_each_handler([&](int signal, unsigned long) {
    any = (mask >> (signal - 1) & 1) != 0;
    return !any;
  });
  return any;
}

bool any_handler(unsigned long except) {
  bool any = false;
  for_each_handler([&](int signal, unsigned long) {
    any = (except >> (signal - 1) & 1) == 0;
    return !any;
  });
  return any;
}

}  // namespace forkmend::restart
