// A wait record: who waits on what, since when, with a timeout or without.
//
// Promises: written by the thread itself with plain stores, read by others only where the thread is
// known to stand still: at the safepoint, in the child (lost threads), or by itself.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>

#include "shim/base/clock.h"
#include "shim/waiting/registers.h"

namespace forkmend {

enum class WaitCall : std::uint8_t {
  none,
  mutex_lock,
  rwlock_rdlock,
  rwlock_wrlock,
  cond_wait,
  sem_wait,
  join,
  barrier_wait,
  futex,
  epoll_wait,
  poll,
  select,
  sleep,
  initialiser,
  libc_call,  // a function of libc that takes a lock of libc's own; `object` is its LibcFunction
};

// Names of the calls and of the objects they wait on, as the report prints them.
const char* call_name(WaitCall call);
const char* object_kind(WaitCall call);

struct Wait;
// As call_name, or the name of libc's function.
const char* call_name(const Wait& wait);

// Whether a wait ends by time. How late is the caller's: it lies in memory that libc or the kernel
// reads when it needs it, and perhaps never, so that nobody else may.
enum class Timeout : std::uint8_t { none, given };
inline Timeout timeout_at(const void* time) {
  return time == nullptr ? Timeout::none : Timeout::given;
}

struct Wait {
  std::atomic<WaitCall> call{WaitCall::none};
  pthread_mutex_t* mutex = nullptr;  // taken when the wait ends: of a lock, or beside a cond
  const void* object = nullptr;  // the lock, the cond, the semaphore, the futex word, pthread_t,
                                 // descriptor, or none
  const void* caller = nullptr;  // address of the call
  Timeout timeout = Timeout::none;
  Nanoseconds since = 0;  // CLOCK_MONOTONIC; 0 where the process has no lost thread
  Registers registers{};
};

}  // namespace forkmend
