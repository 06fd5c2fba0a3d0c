#include "shim/python/finalizing.h"

#include <dlfcn.h>

#include <atomic>

#include "shim/base/syscall.h"
#include "shim/python/audit.h"
#include "shim/python/capi.h"
#include "shim/reporting/modules.h"

namespace forkmend::python::finalizing {
namespace {

using Asks = int (*)();
Asks is_finalizing;  // Py_IsFinalizing (3.13), before that with an underscore
Asks is_initialized;
std::atomic<const modules::Module*> interpreter{nullptr};
std::atomic<bool> ready{false};
std::atomic<int> finalizer{0};
// "Not initialised" is also what an interpreter says that has not started yet.
std::atomic<bool> was_initialized{false};

bool under_way() {
  if (is_initialized() != 0) {
    was_initialized.store(true, std::memory_order_relaxed);
    return is_finalizing() != 0;
  }
  // CPython clears the first flag before the second one is of use: 3.8 to 3.13 say "not
  // initialised" from the middle of Py_FinalizeEx on.
  return was_initialized.load(std::memory_order_relaxed);
}

}  // namespace

void prepare() {
  if (ready.load(std::memory_order_acquire) || !audit::available()) return;
  // Never as a tail call: see capi.cc.
  void* asks = dlsym(RTLD_DEFAULT, "Py_IsFinalizing");
  if (asks == nullptr) asks = dlsym(RTLD_DEFAULT, "_Py_IsFinalizing");
  void* initialized = dlsym(RTLD_DEFAULT, "Py_IsInitialized");
  if (asks == nullptr || initialized == nullptr) return;
  is_finalizing = reinterpret_cast<Asks>(asks);
  is_initialized = reinterpret_cast<Asks>(initialized);
  if (is_initialized() != 0) was_initialized.store(true, std::memory_order_relaxed);
  interpreter.store(modules::find_or_refresh(initialized), std::memory_order_relaxed);
  ready.store(true, std::memory_order_release);
}

int exiting_tid() {
  const int tid = finalizer.load(std::memory_order_relaxed);
  return tid != 0 && sys::thread_exists(sys::getpid(), tid) ? tid : sys::getpid();
}

bool shuts_out_this_thread() {
  if (!ready.load(std::memory_order_acquire) || !under_way()) return false;
  return sys::gettid() != exiting_tid();
}

bool throws_out(const void* caller) {
  if (!ready.load(std::memory_order_acquire)) return false;
  const modules::Module* module = interpreter.load(std::memory_order_relaxed);
  const auto at = reinterpret_cast<std::uintptr_t>(caller);
  return module != nullptr && at - module->lo < module->hi - module->lo && shuts_out_this_thread();
}

void begun_here() { finalizer.store(sys::gettid(), std::memory_order_relaxed); }

}  // namespace forkmend::python::finalizing
