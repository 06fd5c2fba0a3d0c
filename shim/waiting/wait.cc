#include "shim/waiting/wait.h"

#include "shim/threads/libc_call.h"

namespace forkmend {

const char* call_name(WaitCall call) {
  constexpr const char* kNames[] = {"running",
                                    "pthread_mutex_lock",
                                    "pthread_rwlock_rdlock",
                                    "pthread_rwlock_wrlock",
                                    "pthread_cond_wait",
                                    "sem_wait",
                                    "pthread_join",
                                    "pthread_barrier_wait",
                                    "futex",
                                    "epoll_wait",
                                    "poll",
                                    "select",
                                    "sleep",
                                    "__cxa_guard_acquire",
                                    "a function of libc"};
  return kNames[static_cast<int>(call)];
}

const char* object_kind(WaitCall call) {
  constexpr const char* kKinds[] = {"none",        "mutex",
                                    "rwlock",      "rwlock",
                                    "condition",   "semaphore",
                                    "thread",      "barrier",
                                    "futex",       "epoll",
                                    "descriptors", "descriptors",
                                    "clock",       "static initialiser",
                                    "lock of libc"};
  return kKinds[static_cast<int>(call)];
}

const char* call_name(const Wait& wait) {
  const WaitCall call = wait.call.load();
  if (call != WaitCall::libc_call) return call_name(call);
  return static_cast<const LibcFunction*>(wait.object)->name;
}

}  // namespace forkmend
