// What a process needs from its first thread on, and a program with one thread never pays for.
#pragma once

#include <atomic>

#include "shim/base/compiler.h"

namespace forkmend::threads {

extern FORKMEND_HIDDEN std::atomic<bool> first_done;
void prepare_for_threads();

// Idempotent; one load after the first time.
FORKMEND_INLINE void before_first() {
  if (FORKMEND_UNLIKELY(!first_done.load(std::memory_order_acquire))) prepare_for_threads();
}

}  // namespace forkmend::threads
