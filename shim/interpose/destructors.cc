// Destructors of thread-local objects. libstdc++ and Rust register them here.
#include "shim/threads/destructors.h"
#include "shim/interpose/interpose.h"
#include "shim/threads/thread.h"

using namespace forkmend;

FORKMEND_EXPORT int __cxa_thread_atexit_impl(void (*function)(void*), void* object, void* dso) {
  const Thread* t = threads::self();
  if (t == nullptr || t->stack.load(std::memory_order_relaxed) == nullptr)
    return real().__cxa_thread_atexit_impl(function, object, dso);
  return threads::destructors::add(function, object, dso);
}
