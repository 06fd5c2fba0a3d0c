// How functions of libc that take a lock of libc's own are interposed: a line each.
//
// Promises: each is looked up at its first call and not before, since a program calls few of them.
// Does not: change what they do, or return.
#pragma once

#include <dlfcn.h>

#include <atomic>

#include "shim/interpose/interpose.h"
#include "shim/locks/libc_calls.h"

namespace forkmend::libc_calls {

template <class Function>
struct Real {
  LibcFunction function;
  std::atomic<Function> found;

  FORKMEND_INLINE Function get() {
    const Function known = found.load(std::memory_order_relaxed);
    return FORKMEND_LIKELY(known != nullptr) ? known : find();
  }
  FORKMEND_COLD Function find() {
    const LookUp inside;
    found.store(reinterpret_cast<Function>(dlsym(RTLD_NEXT, function.name)),
                std::memory_order_relaxed);
    return found.load(std::memory_order_relaxed);
  }
};

}  // namespace forkmend::libc_calls

#define FORKMEND_LIBC_CALL_AS(polls_without_lock, trial, result, name, parameters, arguments) \
  static constinit forkmend::libc_calls::Real<result(*) parameters> real_##name = {           \
      {#name, FORKMEND_LIBC_LOCK, polls_without_lock}, nullptr};                              \
  FORKMEND_EXPORT result name parameters {                                                    \
    auto* real_function = real_##name.get();                                                  \
    const forkmend::libc_calls::Inside inside(real_##name.function);                          \
    if (inside.is_wanted())                                                                   \
      inside.arrive([=] { return trial(real_function arguments); }, FORKMEND_CALLER);         \
    return real_function arguments;                                                           \
  }
// The call as it is; or one that others do not see, in its place.
#define FORKMEND_TRY_ITSELF(call) call
// result, name, (parameters), (their names). Before it FORKMEND_LIBC_LOCK says what the lock
// guards.
#define FORKMEND_LIBC_CALL(...) FORKMEND_LIBC_CALL_AS(false, FORKMEND_TRY_ITSELF, __VA_ARGS__)
// One that holds no lock while it waits for a name server.
#define FORKMEND_LIBC_RESOLVER(...) FORKMEND_LIBC_CALL_AS(true, FORKMEND_TRY_ITSELF, __VA_ARGS__)
// One whose effect others see: `trial` is a macro that makes a call with the same lock and none.
#define FORKMEND_LIBC_CALL_TRIED_BY(trial, ...) FORKMEND_LIBC_CALL_AS(false, trial, __VA_ARGS__)
