// CPython's C API by name: one binary for every interpreter, without its headers.
//
// Promises: every required function is there once resolve() has returned true; optional ones may be
// null. Only functions whose meaning has not changed from 3.8 to 3.14.
// Does not: find a libpython that is loaded later, with dlopen.
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace forkmend::python {

struct PyObject;  // opaque: nothing here looks inside
struct PyThreadState;
struct PyInterpreterState;

struct PyMethodDef {
  const char* name;
  PyObject* (*function)(PyObject* self, PyObject* arguments);
  int flags;
  const char* doc;
};
inline constexpr int kNoArguments = 0x0004;    // METH_NOARGS
inline constexpr int kWithArguments = 0x0001;  // METH_VARARGS
inline constexpr int kFileInput = 257;         // Py_file_input

// PyMemAllocatorEx, and the domain of PyMem_RawMalloc.
struct Allocator {
  void* context;
  void* (*malloc)(void* context, std::size_t size);
  void* (*calloc)(void* context, std::size_t count, std::size_t size);
  void* (*realloc)(void* context, void* memory, std::size_t size);
  void (*free)(void* context, void* memory);
};
inline constexpr int kRawDomain = 0;

// name, return type, parameters. One line per function.
// clang-format off
#define FORKMEND_PYTHON_REQUIRED(X)                                                              \
  X(Py_IsInitialized, int, ())                                                                   \
  X(Py_CompileString, PyObject*, (const char*, const char*, int))                                \
  X(Py_IncRef, void, (PyObject*))                                                                \
  X(Py_DecRef, void, (PyObject*))                                                                \
  X(Py_BuildValue, PyObject*, (const char*, ...))                                                \
  X(PyArg_ParseTuple, int, (PyObject*, const char*, ...))                                        \
  X(PyCFunction_NewEx, PyObject*, (PyMethodDef*, PyObject*, PyObject*))                          \
  X(PyDict_GetItemString, PyObject*, (PyObject*, const char*))                                   \
  X(PyDict_New, PyObject*, ())                                                                   \
  X(PyDict_SetItem, int, (PyObject*, PyObject*, PyObject*))                                      \
  X(PyDict_SetItemString, int, (PyObject*, const char*, PyObject*))                              \
  X(Py_AddPendingCall, int, (int (*)(void*), void*))                                             \
  X(PyErr_CheckSignals, int, ())                                                                 \
  X(PyErr_Clear, void, ())                                                                       \
  X(PyErr_Fetch, void, (PyObject**, PyObject**, PyObject**))                                     \
  X(PyErr_Occurred, PyObject*, ())                                                               \
  X(PyErr_Restore, void, (PyObject*, PyObject*, PyObject*))                                      \
  X(PyEval_EvalCode, PyObject*, (PyObject*, PyObject*, PyObject*))                               \
  X(PyEval_GetBuiltins, PyObject*, ())                                                           \
  X(PyEval_GetFrame, PyObject*, ())                                                              \
  X(PyEval_RestoreThread, void, (PyThreadState*))                                                \
  X(PyEval_SaveThread, PyThreadState*, ())                                                       \
  X(PyFrame_GetLineNumber, int, (PyObject*))                                                     \
  X(PyGILState_Check, int, ())                                                                   \
  X(PyGILState_Ensure, int, ())                                                                  \
  X(PyGILState_GetThisThreadState, PyThreadState*, ())                                           \
  X(PyGILState_Release, void, (int))                                                             \
  X(PyImport_GetModuleDict, PyObject*, ())                                                       \
  X(PyImport_ImportModuleLevel, PyObject*, (const char*, PyObject*, PyObject*, PyObject*, int))  \
  X(PyInterpreterState_Main, PyInterpreterState*, ())                                            \
  X(PyList_Append, int, (PyObject*, PyObject*))                                                  \
  X(PyList_GetItem, PyObject*, (PyObject*, ssize_t))                                             \
  X(PyList_Size, ssize_t, (PyObject*))                                                           \
  X(PyLong_AsLong, long, (PyObject*))                                                            \
  X(PyMem_GetAllocator, void, (int, Allocator*))                                                 \
  X(PyMem_SetAllocator, void, (int, Allocator*))                                                 \
  X(PyObject_AsFileDescriptor, int, (PyObject*))                                                 \
  X(PyObject_Call, PyObject*, (PyObject*, PyObject*, PyObject*))                                 \
  X(PyObject_GetAttrString, PyObject*, (PyObject*, const char*))                                 \
  X(PyOS_AfterFork_Child, void, ())                                                              \
  X(PyOS_AfterFork_Parent, void, ())                                                             \
  X(PyOS_BeforeFork, void, ())                                                                   \
  X(PyTuple_GetItem, PyObject*, (PyObject*, ssize_t))                                            \
  X(PyUnicode_AsUTF8AndSize, const char*, (PyObject*, ssize_t*))
#define FORKMEND_PYTHON_OPTIONAL(X)                                                              \
  X(PyInterpreterState_Get, PyInterpreterState*, ())   /* 3.9 */                                 \
  X(_PyInterpreterState_Get, PyInterpreterState*, ())  /* its name in 3.8 */                     \
  X(PyFrame_GetBack, PyObject*, (PyObject*))           /* 3.9, as the next */                    \
  X(PyFrame_GetCode, PyObject*, (PyObject*))                                                     \
  X(PyThread_acquire_lock_timed, int, (void*, long long, int))                                   \
  X(PyThread_release_lock, void, (void*))                                                        \
  X(Py_IsFinalizing, int, ())                          /* 3.13 */                                \
  X(_Py_IsFinalizing, int, ())                         /* its name until 3.12 */
// clang-format on

struct Api {
#define FORKMEND_DECLARE(name, result, parameters) result(*name) parameters;
  FORKMEND_PYTHON_REQUIRED(FORKMEND_DECLARE)
  FORKMEND_PYTHON_OPTIONAL(FORKMEND_DECLARE)
#undef FORKMEND_DECLARE
  bool finalizing() const {
    if (Py_IsFinalizing != nullptr) return Py_IsFinalizing() != 0;
    return _Py_IsFinalizing != nullptr && _Py_IsFinalizing() != 0;
  }
  PyInterpreterState* current_interpreter() const {
    return PyInterpreterState_Get != nullptr ? PyInterpreterState_Get() : _PyInterpreterState_Get();
  }
};

extern Api api;

// Fills `api`. False if this CPython lacks something (it is older than 3.8, or a look-alike).
bool resolve();

// A reference that is given back. Null stands for an error; the error itself stays set.
class Reference {
 public:
  explicit Reference(PyObject* owned) : object_(owned) {}
  ~Reference() { reset(nullptr); }
  Reference(const Reference&) = delete;
  Reference& operator=(const Reference&) = delete;

  void reset(PyObject* owned) {
    if (object_ != nullptr) api.Py_DecRef(object_);
    object_ = owned;
  }
  PyObject* get() const { return object_; }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  PyObject* object_;
};

// What was raised before stays raised after; what is raised in between is forgotten.
class ErrorKeeper {
 public:
  ErrorKeeper() { api.PyErr_Fetch(&type_, &value_, &traceback_); }
  ~ErrorKeeper() { api.PyErr_Restore(type_, value_, traceback_); }
  ErrorKeeper(const ErrorKeeper&) = delete;
  ErrorKeeper& operator=(const ErrorKeeper&) = delete;

 private:
  PyObject* type_ = nullptr;
  PyObject* value_ = nullptr;
  PyObject* traceback_ = nullptr;
};

// A module that is imported already, borrowed; null otherwise. Runs no Python code.
inline PyObject* imported_module(const char* name) {
  return api.PyDict_GetItemString(api.PyImport_GetModuleDict(), name);
}

}  // namespace forkmend::python
