#include "shim/waiting/restart.h"

#include <atomic>

#include "shim/base/signals.h"

namespace forkmend::restart {
namespace {

std::atomic<unsigned long> left_out{sys::kLibcSignals};

// True if bool fits(signal, action) is for one of the handlers installed by the program.
template <class Fits>
bool any_installed(Fits&& fits) {
  for (int signal = 1; signal <= sys::kLastSignal; signal++) {
    sys::KernelSigaction action{};
    if (sys::has_signal(left_out.load(std::memory_order_relaxed), signal) ||
        !sys::read_action(signal, action) || !action.has_function())
      continue;
    if (fits(signal, action)) return true;
  }
  return false;
}

}  // namespace

void leave_out(int signal) { left_out.fetch_or(sys::signal_bit(signal)); }

bool would_restart() {
  return !any_installed(
      [](int, const sys::KernelSigaction& action) { return (action.flags & SA_RESTART) == 0; });
}

bool would_end(unsigned long signals) {
  return signals != 0 && any_installed([&](int signal, const sys::KernelSigaction& action) {
           return sys::has_signal(signals, signal) && (action.flags & SA_RESTART) == 0;
         });
}

bool handled_signal_blocked() {
  unsigned long mask = 0;
  sys::call(SYS_rt_sigprocmask, SIG_BLOCK, 0, sys::arg(&mask), sizeof mask);
  return mask != 0 && any_installed([&](int signal, const sys::KernelSigaction&) {
           return sys::has_signal(mask, signal);
         });
}

bool any_handler(unsigned long except, bool (*is_harmless)(const void* handler)) {
  return any_installed([&](int signal, const sys::KernelSigaction& action) {
    return !sys::has_signal(except, signal) &&
           !is_harmless(reinterpret_cast<const void*>(action.handler));
  });
}

}  // namespace forkmend::restart
