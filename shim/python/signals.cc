#include "shim/python/signals.h"

#include <atomic>

#include "shim/base/signals.h"
#include "shim/python/capi.h"

namespace forkmend::python::signals {
namespace {

constexpr int kBelowLast = 3;

std::atomic<void (*)(int)> interrupt_handler{nullptr};

bool default_int_handler_is_set() {
  PyObject* module = imported_module("_signal");
  if (module == nullptr) return false;
  const Reference getsignal(api.PyObject_GetAttrString(module, "getsignal"));
  const Reference raises(api.PyObject_GetAttrString(module, "default_int_handler"));
  const Reference arguments(api.Py_BuildValue("(i)", SIGINT));
  if (!getsignal || !raises || !arguments) return false;
  const Reference handler(api.PyObject_Call(getsignal.get(), arguments.get(), nullptr));
  return handler && handler.get() == raises.get();
}

}  // namespace

int reserved_signal() { return sys::kLastSignal - kBelowLast; }

// CPython has one C function for every signal that Python code handles, so its address does not
// tell default_int_handler from a handler of the program's; what does lies behind the GIL, which a
// thread that is stuck cannot take. So the action itself carries the mark: the reserved signal in
// its mask, which nobody notices. signal.signal() installs the action anew, with an empty mask, and
// the mark is gone, in whichever process that happens.
void note_interrupt_handler() {
  sys::KernelSigaction action{};
  if (!default_int_handler_is_set() || !sys::read_action(SIGINT, action) || !action.has_function())
    return;
  interrupt_handler.store(action.handler, std::memory_order_relaxed);
  if ((action.mask & sys::signal_bit(reserved_signal())) != 0) return;
  action.mask |= sys::signal_bit(reserved_signal());
  sys::call(SYS_rt_sigaction, SIGINT, sys::arg(&action), 0, sizeof action.mask);
}

bool interrupt_is_pythons() {
  sys::KernelSigaction action{};
  return sys::read_action(SIGINT, action) && action.has_function() &&
         action.handler == interrupt_handler.load(std::memory_order_relaxed) &&
         (action.mask & sys::signal_bit(reserved_signal())) != 0;
}

}  // namespace forkmend::python::signals
