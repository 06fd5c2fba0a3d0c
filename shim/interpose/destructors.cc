// Destructors of thread-local objects. libstdc++ and Rust register them here.
#include "shim/threads/destructors.h"
#include "shim/interpose/interpose.h"
#include "shim/threads/thread.h"

using namespace forkmend;

FORKMEND_EXPORT int __cxa_thread_atexit_impl(void (*function)(void*), void* object, void* dso) {
  if (quiet()) return real().__cxa_thread_atexit_impl(function, object, dso);
  return threads::destructors::add(function, object, dso);
}
