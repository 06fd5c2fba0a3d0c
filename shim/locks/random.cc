#include "shim/locks/random.h"

#include <dlfcn.h>
#include <string.h>

#include <atomic>
#include <cstdint>

#include "shim/base/compiler.h"
#include "shim/base/real.h"
#include "shim/reporting/event.h"

namespace forkmend::random_lock {
namespace {

FORKMEND_SAME_PAGE std::atomic<std::uint32_t>* lock;

#if defined(__x86_64__)
// The lock is taken before anything else is done.
constexpr int kFirstBytes = 64;

// The word that `function` first exchanges with one that it knows: CMPXCHG r32, [RIP + disp32],
// which is 0F B1, a ModRM byte whose mode is 0 and whose base is 5, and the distance from its end.
const void* first_exchanged(const void* function) {
  if (function == nullptr) return nullptr;
  constexpr int kSize = 3 + sizeof(std::int32_t);
  const auto* code = static_cast<const unsigned char*>(function);
  for (const auto* at = code; at < code + kFirstBytes; at++) {
    if (at[0] != 0x0f || at[1] != 0xb1 || (at[2] & 0xc7) != 0x05) continue;
    std::int32_t distance;
    memcpy(&distance, at + 3, sizeof distance);
    return at + kSize + distance;
  }
  return nullptr;
}

const void* find() {
  const LookUp inside;
  const void* word = first_exchanged(dlsym(RTLD_NEXT, "random"));
  for (const char* name : {"srandom", "initstate", "setstate"}) {
    if (word == nullptr || first_exchanged(dlsym(RTLD_NEXT, name)) != word) return nullptr;
  }
  return word;
}
#else
const void* find() { return nullptr; }
#endif

}  // namespace

void probe() {
  lock = static_cast<std::atomic<std::uint32_t>*>(const_cast<void*>(find()));
  if (lock == nullptr) report_off("the lock of random()", "it was not found in this libc's code");
}

void after_fork_child(const ChildEntry&) {
  if (lock != nullptr && lock->load(std::memory_order_relaxed) != 0)
    lock->store(0, std::memory_order_relaxed);
}

}  // namespace forkmend::random_lock
