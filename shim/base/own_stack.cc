#include "shim/base/own_stack.h"

#include <sys/mman.h>

#include <cstdint>

#include "shim/base/compiler.h"
#include "shim/base/signals.h"
#include "shim/base/spinlock.h"
#include "shim/base/syscall.h"

// own_stack.S: calls work(argument) with the stack pointer at `top` (16-byte aligned); `*before` is
// what it was.
extern "C" FORKMEND_HIDDEN void forkmend_call_on_stack(void (*work)(void*), void* argument,
                                                       void* top, void** before);

namespace forkmend::own_stack {

namespace {

constexpr std::size_t kGuard = 4096;

// Where the calling thread's own stack ends; null while it is on it.
FORKMEND_TLS void* callers_stack;

// Sanitizers know a thread's stack by its bounds.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSwitches = false;
#else
constexpr bool kSwitches = true;
#endif

alignas(64) char spare[kSpareSize];

bool is_on_spare() {
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  return here - reinterpret_cast<std::uintptr_t>(spare) < kSpareSize;
}

void switch_to(void* top, void (*work)(void*), void* argument) {
  forkmend_call_on_stack(work, argument, top, &callers_stack);
  callers_stack = nullptr;
}

bool call_on_spare(void (*work)(void*), void* argument) {
  constexpr Nanoseconds kPatience = 100 * kMillisecond;  // an event is a few milliseconds
  const Turn turn(Rank::spare_stack, kPatience);
  if (turn) switch_to(spare + kSpareSize, work, argument);
  return static_cast<bool>(turn);
}

}  // namespace

bool call(void (*work)(void*), void* argument, bool large) {
  if (callers_stack != nullptr) {
    if (large && is_on_spare()) return false;
    return work(argument), true;
  }
  const sys::SignalsBlocked held(~(sys::kSynchronousSignals | sys::kLibcSignals));
  if (!kSwitches) return work(argument), true;
  const long base = sys::call(SYS_mmap, 0, kSize + kGuard, PROT_NONE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (base < 0 && base > -4096) return !large && call_on_spare(work, argument);
  const bool usable =
      sys::call(SYS_mprotect, base + static_cast<long>(kGuard), kSize, PROT_READ | PROT_WRITE) == 0;
  if (usable)
    switch_to(reinterpret_cast<void*>(base + static_cast<long>(kGuard + kSize)), work, argument);
  sys::call(SYS_munmap, base, kSize + kGuard);
  return usable || (!large && call_on_spare(work, argument));
}

void call_on_callers(void (*work)(void*), void* argument) {
  void* const before = callers_stack;
  if (before == nullptr) return work(argument);
  callers_stack = nullptr;  // what it calls may need a stack of the shim's again
  void* here;
  forkmend_call_on_stack(
      work, argument,
      reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(before) & ~std::uintptr_t{15}),
      &here);
  callers_stack = before;
}

}  // namespace forkmend::own_stack
