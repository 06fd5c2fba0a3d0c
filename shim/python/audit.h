// The audit hook: how the bridge is called by an interpreter that does not know of it.
//
// Promises: a hook that is added before the interpreter starts is called at its first event, and
// survives every allocator that the interpreter may be told to use (PYTHONMALLOC, -X dev).
// Does not: take the hook out again; CPython has no way to. It costs an event about as much as its
// argument tuple, which CPython makes only when there is a hook.
#pragma once

#include "shim/python/capi.h"

namespace forkmend::python::audit {

using Hook = int (*)(const char* event, PyObject* arguments, void* user);

// True if this process is linked with a CPython that has audit hooks (3.8). A weak reference, so
// that without one it costs the look-up that failed at load.
bool available();

// Adds the hook. After resolve(), before the interpreter starts.
bool add(Hook hook);

// In a started interpreter: true if the hook's own memory must be kept out of the hands of an
// allocator that was installed since, with keep_entry() at the event kClearing.
bool allocator_changed();
inline constexpr const char* kClearing = "cpython._PySys_ClearAuditHooks";
void keep_entry();

}  // namespace forkmend::python::audit
