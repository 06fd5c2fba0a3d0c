#include "shim/waiting/restart.h"

#include "shim/base/signals.h"

namespace forkmend::restart {
namespace {

// True if bool fits(signal, flags) is for one of the handlers installed, libc's own left out.
template <class Fits>
bool any_installed(Fits&& fits) {
  for (int signal = 1; signal <= sys::kLastSignal; signal++) {
    sys::KernelSigaction action{};
    if (sys::has_signal(sys::kLibcSignals, signal) || !sys::read_action(signal, action) ||
        !action.has_function())
      continue;
    if (fits(signal, action.flags)) return true;
  }
  return false;
}

}  // namespace

bool would_restart() {
  return !any_installed([](int, unsigned long flags) { return (flags & SA_RESTART) == 0; });
}

bool would_end(unsigned long signals) {
  return signals != 0 && any_installed([&](int signal, unsigned long flags) {
           return sys::has_signal(signals, signal) && (flags & SA_RESTART) == 0;
         });
}

bool handled_signal_blocked() {
  unsigned long mask = 0;
  sys::call(SYS_rt_sigprocmask, SIG_BLOCK, 0, sys::arg(&mask), sizeof mask);
  return mask != 0 &&
         any_installed([&](int signal, unsigned long) { return sys::has_signal(mask, signal); });
}

bool any_handler(unsigned long except) {
  return any_installed([&](int signal, unsigned long) { return !sys::has_signal(except, signal); });
}

}  // namespace forkmend::restart
