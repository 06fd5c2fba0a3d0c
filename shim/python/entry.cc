#include "shim/python/entry.h"

#include <dlfcn.h>
#include <string.h>

#include <atomic>

#include "shim/exiting/park.h"
#include "shim/python/audit.h"
#include "shim/python/capi.h"
#include "shim/python/finalizing.h"
#include "shim/reporting/event.h"
#include "shim/reporting/modules.h"
#include "shim/runtimes/dynamic.h"
#include "shim/runtimes/runtime.h"

namespace forkmend::python::entry {
namespace {

// --- the guards: what the slots lead to ----------------------------------------------------------

int (*real_ensure)();
void (*real_restore)(PyThreadState*);
void (*real_acquire)(PyThreadState*);

void stop_if_late() {
  if (finalizing::shuts_out_this_thread()) exiting::park();
}

int guarded_ensure() {
  stop_if_late();
  return real_ensure();
}
void guarded_restore(PyThreadState* state) {
  stop_if_late();
  real_restore(state);
}
void guarded_acquire(PyThreadState* state) {
  stop_if_late();
  real_acquire(state);
}

int (*real_is_initialized)();
int (*real_is_finalizing)();

// Only in libraries that panic at the answer: others ask in order to stay away, and go on.
int guarded_is_initialized() {
  stop_if_late();
  return real_is_initialized();
}
int guarded_is_finalizing() {
  stop_if_late();
  return real_is_finalizing();
}

struct Way {
  const char* name;
  void* guard;
  void** real;
  bool asks;
};
const Way kWays[] = {
    {"PyGILState_Ensure", reinterpret_cast<void*>(&guarded_ensure),
     reinterpret_cast<void**>(&real_ensure), false},
    {"PyEval_RestoreThread", reinterpret_cast<void*>(&guarded_restore),
     reinterpret_cast<void**>(&real_restore), false},
    {"PyEval_AcquireThread", reinterpret_cast<void*>(&guarded_acquire),
     reinterpret_cast<void**>(&real_acquire), false},
    {"Py_IsInitialized", reinterpret_cast<void*>(&guarded_is_initialized),
     reinterpret_cast<void**>(&real_is_initialized), true},
    {"Py_IsFinalizing", reinterpret_cast<void*>(&guarded_is_finalizing),
     reinterpret_cast<void**>(&real_is_finalizing), true},
};

// --- the slots ---------------------------------------------------------------------------------

bool guard_slots(const dynamic::Image& image, bool asks_first) {
  bool stored = true;
  image.for_each_slot([&](void** slot, const char* name, bool) {
    if (name[0] != 'P' || name[1] != 'y') return;
    for (const Way& way : kWays) {
      if ((way.asks && !asks_first) || *way.real == nullptr || strcmp(name, way.name) != 0)
        continue;
      if (!image.store(slot, way.guard)) stored = false;
    }
  });
  return stored;
}

// Which libraries were looked at. Index: modules::index_of.
std::atomic<bool> seen[modules::kMaxModules];

void guard_module(const modules::Module* module, bool asks_first) {
  if (module == nullptr || seen[modules::index_of(*module)].exchange(true)) return;
  const auto interpreter = reinterpret_cast<std::uintptr_t>(*kWays[0].real);
  if (interpreter - module->lo < module->hi - module->lo) return;
  if (!guard_slots(dynamic::Image(*module), asks_first))
    report_off("guard at interpreter exit", "mprotect of a global offset table failed");
}

// Found by name, not taken by address: on a static python &PyGILState_Ensure in a preload would be
// right as well, but in ours it would be an undefined symbol.
bool find_ways() {
  static std::atomic<bool> found{false};
  if (found.load(std::memory_order_acquire)) return true;
  for (const Way& way : kWays) *way.real = dlsym(RTLD_DEFAULT, way.name);
  if (real_ensure == nullptr || real_restore == nullptr) return false;
  finalizing::prepare();
  found.store(true, std::memory_order_release);
  return true;
}

}  // namespace

void guard(const void* caller, const void* symbol, const Runtime* runtime) {
  if (!audit::available() || !find_ways()) return;
  const bool asks_first =
      runtime != nullptr && runtime->profile != nullptr && runtime->profile->asks_first != 0;
  guard_module(modules::find_or_refresh(caller), asks_first);
  guard_module(modules::find_or_refresh(symbol), asks_first);
}

}  // namespace forkmend::python::entry
