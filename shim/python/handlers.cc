#include "shim/python/handlers.h"

#include "shim/python/capi.h"

namespace forkmend::python::handlers {
namespace {

// The main thread's, with the GIL: at most one at a time.
struct Raised {
  PyObject *type, *value, *traceback;
  bool queued;
} raised;

// After a lock's EINTR the interpreter makes its pending calls (acquire_timed in _threadmodule.c).
int raise(void*) {
  api.PyErr_Restore(raised.type, raised.value, raised.traceback);
  raised = {};
  return -1;
}

}  // namespace

bool run_due() {
  if (raised.type == nullptr) {
    if (api.PyErr_CheckSignals() == 0) return true;
    api.PyErr_Fetch(&raised.type, &raised.value, &raised.traceback);
  }
  // The interpreter's queue may be full: again at the next look.
  if (!raised.queued) raised.queued = api.Py_AddPendingCall(&raise, nullptr) == 0;
  return false;
}

}  // namespace forkmend::python::handlers
