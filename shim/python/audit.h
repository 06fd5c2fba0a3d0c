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

// True if this process is linked with a CPython that has audit hooks (3.8). A weak reference, so that
// without one it costs the look-up that failed at load.
bool available();

// Adds the hook. After resolve(), before the interpreter starts.
bool add(Hook hook);

// At the hook's first call in a started interpreter: keeps its own memory out of the hands of a
// debugging allocator that was installed since.
void settle_allocator();

}  // namespace forkmend::python::audit
