// A spin lock that knows who holds it: for bookkeeping that a signal handler may come upon.
//
// Promises: as SpinGuard; and a handler that interrupted the holder can tell, and leave what it
// found alone. Does not: let anybody take it twice.
#pragma once

#include <pthread.h>

#include <atomic>

#include "shim/base/syscall.h"

namespace forkmend {

class OwnedLock {
 public:
  void lock() {
    constexpr int kSpins = 64;  // then whoever holds it needs the CPU
    pthread_t free = 0;
    for (int spins = 0; !owner_.compare_exchange_weak(free, pthread_self()); spins++) {
      free = 0;
      if (spins > kSpins) sys::yield();
    }
  }
  void unlock() { owner_.store(0, std::memory_order_release); }
  bool is_mine() const { return owner_.load(std::memory_order_relaxed) == pthread_self(); }
  bool is_free() const { return owner_.load(std::memory_order_relaxed) == 0; }

 private:
  std::atomic<pthread_t> owner_{0};
};

class OwnedGuard {
 public:
  explicit OwnedGuard(OwnedLock& lock) : lock_(lock) { lock_.lock(); }
  ~OwnedGuard() { lock_.unlock(); }
  OwnedGuard(const OwnedGuard&) = delete;
  OwnedGuard& operator=(const OwnedGuard&) = delete;

 private:
  OwnedLock& lock_;
};

}  // namespace forkmend
