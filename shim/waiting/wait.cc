#include "shim/waiting/wait.h"

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
                                    "__cxa_guard_acquire"};
  return kNames[static_cast<int>(call)];
}

const char* object_kind(WaitCall call) {
  constexpr const char* kKinds[] = {"none",        "mutex",
                                    "rwlock",      "rwlock",
                                    "condition",   "semaphore",
                                    "thread",      "barrier",
                                    "futex",       "epoll",
                                    "descriptors", "descriptors",
                                    "clock",       "static initialiser"};
  return kKinds[static_cast<int>(call)];
}

}  // namespace forkmend
