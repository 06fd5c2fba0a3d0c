#include "shim/python/embedder.h"

#include "shim/base/compiler.h"
#include "shim/python/bridge.h"
#include "shim/python/capi.h"
#include "shim/python/hooks.h"
#include "shim/python/lost.h"
#include "shim/threads/thread.h"

namespace forkmend::python::embedder {
namespace {

FORKMEND_TLS bool announced;  // this thread's fork was announced to the interpreter here
FORKMEND_TLS int gil_state;

bool is_unannounced() {
  return present() && threads::live().load(std::memory_order_relaxed) > 1 && !hooks::under_way() &&
         api.Py_IsInitialized() && !api.finalizing() &&
         api.PyGILState_GetThisThreadState() != nullptr && !api.PyGILState_Check();
}

}  // namespace

void before() {
  if (FORKMEND_LIKELY(!is_unannounced())) return;
  gil_state = api.PyGILState_Ensure();
  {
    const ErrorKeeper error;
    lost::before();
    announced = lost::has_threads_to_cure();
    lost::after_in_parent();
  }
  if (announced) {
    api.PyOS_BeforeFork();
  } else {
    api.PyGILState_Release(gil_state);
  }
}

void after_parent() {
  lost::release();
  if (!announced) return;
  announced = false;
  api.PyOS_AfterFork_Parent();
  api.PyGILState_Release(gil_state);
}

void after_child() {
  if (!announced) return;
  announced = false;
  api.PyOS_AfterFork_Child();
  api.PyGILState_Release(gil_state);
}

}  // namespace forkmend::python::embedder
