// Load: what happens before main, and whether the shim acts in this process at all.
#pragma once

#include <atomic>

#include "shim/base/compiler.h"

namespace forkmend {

enum class Activity : unsigned char { not_loaded, active, inert };

extern FORKMEND_HIDDEN std::atomic<Activity> activity;

// Reads the settings and decides. Idempotent; the constructor calls it, and an interposer that
// another library's constructor called first.
void load();

// False under AT_SECURE, FORKMEND=off, beside a sanitizer, and in programs that FORKMEND_ONLY
// leaves out: everything is forwarded then.
FORKMEND_INLINE bool is_active() {
  Activity now = activity.load(std::memory_order_acquire);
  if (FORKMEND_UNLIKELY(now == Activity::not_loaded)) {
    load();
    now = activity.load(std::memory_order_acquire);
  }
  return FORKMEND_LIKELY(now == Activity::active);
}

}  // namespace forkmend
