// Static initialisers of C++ functions: libstdc++'s and libc++abi's, where a program has them.
#include "shim/interpose/interpose.h"
#include "shim/locks/initialisers.h"

using namespace forkmend;

FORKMEND_EXPORT int __cxa_guard_acquire(initialisers::Guard* guard) {
  return initialisers::acquire(guard, FORKMEND_CALLER);
}

FORKMEND_EXPORT void __cxa_guard_release(initialisers::Guard* guard) {
  initialisers::release(guard);
}

FORKMEND_EXPORT void __cxa_guard_abort(initialisers::Guard* guard) { initialisers::abort(guard); }
