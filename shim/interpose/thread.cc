// Threads: creation, joins, names.
#include "shim/base/load.h"
#include "shim/exiting/park.h"
#include "shim/interpose/c11.h"
#include "shim/interpose/interpose.h"
#include "shim/reviving/forkall.h"
#include "shim/threads/create.h"
#include "shim/threads/lost.h"
#include "shim/threads/stacks.h"
#include "shim/waiting/waits.h"

using namespace forkmend;

FORKMEND_EXPORT int pthread_create(pthread_t* handle, const pthread_attr_t* attributes,
                                   void* (*start)(void*), void* argument) {
  if (!is_active()) return real().pthread_create(handle, attributes, start, argument);
  return threads::create(handle, attributes, start, argument, FORKMEND_CALLER);
}

// Never reaches an interposed pthread_create (measured on four versions of glibc).
FORKMEND_EXPORT int thrd_create(thrd_t* handle, thrd_start_t start, void* argument) {
  if (!is_active()) return real().thrd_create(handle, start, argument);
  return threads::create_c11(handle, start, argument, FORKMEND_CALLER);
}

FORKMEND_EXPORT __attribute__((noreturn)) void pthread_exit(void* result) {
  exiting::before_thread_exit(FORKMEND_CALLER);
  real().pthread_exit(result);
  __builtin_unreachable();
}

FORKMEND_EXPORT int pthread_join(pthread_t thread, void** result) {
  exiting::before_join(thread);
  return waiting::join(thread, result, FORKMEND_CALLER);
}

FORKMEND_EXPORT int thrd_join(thrd_t thread, int* result) {
  void* value = nullptr;
  const int error = waiting::join(thread, &value, FORKMEND_CALLER);
  if (error == 0 && result != nullptr) *result = static_cast<int>(reinterpret_cast<long>(value));
  return c11::result(error);
}

FORKMEND_EXPORT int pthread_tryjoin_np(pthread_t thread, void** result) {
  return waiting::try_join(thread, result, FORKMEND_CALLER);
}

FORKMEND_EXPORT int pthread_timedjoin_np(pthread_t thread, void** result,
                                         const timespec* deadline) {
  return waiting::clock_join(thread, result, CLOCK_REALTIME, deadline, FORKMEND_CALLER);
}

FORKMEND_EXPORT int pthread_clockjoin_np(pthread_t thread, void** result, clockid_t clock,
                                         const timespec* deadline) {
  return waiting::clock_join(thread, result, clock, deadline, FORKMEND_CALLER);
}

FORKMEND_EXPORT int pthread_detach(pthread_t thread) { return threads::detach(thread); }

FORKMEND_EXPORT int thrd_detach(thrd_t thread) { return c11::result(threads::detach(thread)); }

FORKMEND_EXPORT int pthread_kill(pthread_t thread, int signal) {
  if (signal != 0 && forkall::any()) forkall::acts_on(thread);
  const int error = threads::refuse_lost(thread);
  return error != 0 ? error : real().pthread_kill(thread, signal);
}

FORKMEND_EXPORT int pthread_cancel(pthread_t thread) {
  if (forkall::any()) forkall::acts_on(thread);
  const int error = threads::refuse_lost(thread);
  if (error == 0) threads::stacks::will_unwind(thread);
  return error != 0 ? error : real().pthread_cancel(thread);
}

FORKMEND_EXPORT int pthread_sigmask(int how, const sigset_t* set, sigset_t* old) {
  const int result = real().pthread_sigmask(how, set, old);
  if (result == 0 && set != nullptr && is_active()) threads::note_mask();
  return result;
}

FORKMEND_EXPORT int pthread_setname_np(pthread_t thread, const char* name) {
  const int result = real().pthread_setname_np(thread, name);
  if (result == 0 && is_active()) threads::set_name(thread, name);
  return result;
}

// Rust's standard library of 2024 (1.77) panics in a new thread that has no guard page.
FORKMEND_EXPORT int pthread_getattr_np(pthread_t thread, pthread_attr_t* attributes) {
  const int result = real().pthread_getattr_np(thread, attributes);
  if (result == 0 && is_active()) threads::stacks::tell_guard(thread, attributes);
  return result;
}
