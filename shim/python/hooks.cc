#include "shim/python/hooks.h"

#include "shim/base/compiler.h"
#include "shim/forking/protocol.h"
#include "shim/forking/safepoint.h"
#include "shim/python/callers.h"
#include "shim/python/capi.h"
#include "shim/python/frames.h"
#include "shim/python/lost.h"
#include "shim/python/signals.h"
#include "shim/python/stack.h"
#include "shim/reviving/image.h"
#include "shim/runtimes/runtime.h"
#include "shim/threads/thread.h"

namespace forkmend::python::hooks {
namespace {

FORKMEND_TLS bool forking_now;

// CPython looks at nothing but null, which would be an error.
PyObject* none() { return api.Py_BuildValue(""); }

// Nothing is lost by the fork, and nothing was before.
bool nothing_to_lose() {
  return threads::live().load(std::memory_order_relaxed) <= 1 &&
         threads::lost.load(std::memory_order_relaxed) == 0;
}

void come_to_rest() {
  // A runtime's thread may need the GIL to come to rest.
  PyThreadState* self = api.PyEval_SaveThread();
  forking::come_to_rest();
  api.PyEval_RestoreThread(self);
}

PyObject* before(PyObject*, PyObject*) {
  if (nothing_to_lose()) return none();
  forking_now = true;
  const ErrorKeeper error;
  // What the report of a child will need, while all threads run: the first import may wait for
  // them.
  stack::prepare();
  signals::note_interrupt_handler();
  const bool registered = runtimes::registered_threads.load(std::memory_order_relaxed) > 0;
  const bool for_callers = registered && callers::has_to_wait();
  if (registered) {
    image::note_place_of(api.PyGILState_GetThisThreadState());  // nothing unless one is resumed
    if (!for_callers) come_to_rest();
  }
  lost::before();
  // After that: it runs Python code, at whose every step another thread may get the GIL.
  if (for_callers && callers::wait_until_out()) {
    forking::come_to_rest();
  } else if (for_callers) {
    come_to_rest();
  }
  // Last, so that another thread that forked meanwhile has not written over it.
  frames::note_current(forking::begin_place());
  forking::end_place();
  lost::hold();
  return none();
}

// The fork has opened the gate by now, unless it never got as far as libc.
PyObject* after_in_parent(PyObject*, PyObject*) {
  forking_now = false;
  safepoint::release();
  const ErrorKeeper error;
  lost::release();
  lost::after_in_parent();
  if (!nothing_to_lose()) forking::forget_place();  // that of the next fork is unknown
  return none();
}

// The first of the child's hooks: what SDKs do for themselves comes after.
PyObject* after_in_child(PyObject*, PyObject*) {
  forking_now = false;
  const ErrorKeeper error;
  lost::release();
  lost::after_in_child();
  return none();
}

PyMethodDef before_definition = {"forkmend_before_fork", before, kNoArguments, nullptr};
PyMethodDef after_definition = {"forkmend_after_fork", after_in_parent, kNoArguments, nullptr};
PyMethodDef child_definition = {"forkmend_in_child", after_in_child, kNoArguments, nullptr};

}  // namespace

bool under_way() { return forking_now; }

bool register_at_fork() {
  PyObject* posix = imported_module("posix");
  if (posix == nullptr) return false;
  const Reference function(api.PyObject_GetAttrString(posix, "register_at_fork"));
  const Reference first(api.PyCFunction_NewEx(&before_definition, nullptr, nullptr));
  const Reference second(api.PyCFunction_NewEx(&after_definition, nullptr, nullptr));
  const Reference third(api.PyCFunction_NewEx(&child_definition, nullptr, nullptr));
  if (!function || !first || !second || !third) return false;
  const Reference arguments(api.Py_BuildValue("()"));
  const Reference keywords(api.Py_BuildValue("{s:O,s:O,s:O}", "before", first.get(),
                                             "after_in_parent", second.get(), "after_in_child",
                                             third.get()));
  if (!arguments || !keywords) return false;
  const Reference result(api.PyObject_Call(function.get(), arguments.get(), keywords.get()));
  return static_cast<bool>(result);
}

}  // namespace forkmend::python::hooks
