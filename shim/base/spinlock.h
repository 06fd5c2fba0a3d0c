// A lock for a few instructions of the shim's own bookkeeping.
//
// Promises: no libc lock, no allocation; may be reset with one store on child entry.
// Does not: allow anything but the shim's own straight-line code inside; never held across a call
// to somebody else's code (rocm-systems#6777: an inherited logger spin lock hung one child in ten).
#pragma once

#include <atomic>

#include "shim/base/syscall.h"

namespace forkmend {

class Spinlock {
 public:
  void lock() {
    // Yielding after a short spin: on one CPU the holder must run for us to go on.
    for (int spins = 0; held_.exchange(1, std::memory_order_acquire) != 0; spins++) {
      if (spins > 64) sys::yield();
    }
  }
  bool try_lock() { return held_.exchange(1, std::memory_order_acquire) == 0; }
  void unlock() { held_.store(0, std::memory_order_release); }

 private:
  std::atomic<int> held_{0};
};

class SpinGuard {
 public:
  explicit SpinGuard(Spinlock& lock) : lock_(lock) { lock_.lock(); }
  ~SpinGuard() { lock_.unlock(); }
  SpinGuard(const SpinGuard&) = delete;
  SpinGuard& operator=(const SpinGuard&) = delete;

 private:
  Spinlock& lock_;
};

}  // namespace forkmend
