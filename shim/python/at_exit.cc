#include "shim/python/at_exit.h"

#include "shim/exiting/exit.h"
#include "shim/python/capi.h"
#include "shim/python/finalizing.h"

namespace forkmend::python::at_exit {
namespace {

PyObject* last(PyObject*, PyObject*) {
  finalizing::begun_here();
  if (exiting::has_work()) {
    PyThreadState* self = api.PyEval_SaveThread();
    exiting::begin();
    api.PyEval_RestoreThread(self);
  }
  return api.Py_BuildValue("");
}

PyMethodDef definition = {"forkmend_at_exit", last, kNoArguments, nullptr};

}  // namespace

bool install() {
  const Reference module(api.PyImport_ImportModuleLevel("atexit", nullptr, nullptr, nullptr, 0));
  if (!module) return false;
  const Reference add(api.PyObject_GetAttrString(module.get(), "register"));
  const Reference handler(api.PyCFunction_NewEx(&definition, nullptr, nullptr));
  if (!add || !handler) return false;
  const Reference arguments(api.Py_BuildValue("(O)", handler.get()));
  if (!arguments) return false;
  const Reference result(api.PyObject_Call(add.get(), arguments.get(), nullptr));
  return static_cast<bool>(result);
}

}  // namespace forkmend::python::at_exit
