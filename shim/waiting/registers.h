// The registers an unwinder needs to walk a stack whose owner is blocked, or lost.
//
// Promises: capture_here() stores the callee-saved registers, sp and ip of the function it is
// inlined into, at one point; while that function's frame lives, DWARF unwinding from ip finds its
// callers. Stores only: safe everywhere.
// Does not: unwind (dl_iterate_phdr takes a lock that fork never resets).
#pragma once

#include <cstdint>

#include "shim/base/compiler.h"

namespace forkmend {

#if defined(__x86_64__)
struct Registers {
  std::uint64_t ip, sp, bp, bx, r12, r13, r14, r15;
};
inline constexpr const char* kRegisterNames[] = {"ip",  "sp",  "bp",  "bx",
                                                 "r12", "r13", "r14", "r15"};

FORKMEND_INLINE void capture_here(Registers& r) {
  asm volatile(
      "lea 0(%%rip), %%rax\n\t"
      "mov %%rax, 0(%0)\n\t"
      "mov %%rsp, 8(%0)\n\t"
      "mov %%rbp, 16(%0)\n\t"
      "mov %%rbx, 24(%0)\n\t"
      "mov %%r12, 32(%0)\n\t"
      "mov %%r13, 40(%0)\n\t"
      "mov %%r14, 48(%0)\n\t"
      "mov %%r15, 56(%0)"
      :
      : "r"(&r)
      : "rax", "memory");
}
#elif defined(__aarch64__)
struct Registers {
  std::uint64_t ip, sp, fp, lr, x19, x20, x21, x22, x23, x24, x25, x26, x27, x28;
};
inline constexpr const char* kRegisterNames[] = {"ip",  "sp",  "fp",  "lr",  "x19", "x20", "x21",
                                                 "x22", "x23", "x24", "x25", "x26", "x27", "x28"};

FORKMEND_INLINE void capture_here(Registers& r) {
  asm volatile(
      "adr x9, .\n\t"
      "mov x10, sp\n\t"
      "stp x9, x10, [%0]\n\t"
      "stp x29, x30, [%0, 16]\n\t"
      "stp x19, x20, [%0, 32]\n\t"
      "stp x21, x22, [%0, 48]\n\t"
      "stp x23, x24, [%0, 64]\n\t"
      "stp x25, x26, [%0, 80]\n\t"
      "stp x27, x28, [%0, 96]"
      :
      : "r"(&r)
      : "x9", "x10", "memory");
}
#endif

inline constexpr int kRegisterCount = sizeof(Registers) / sizeof(std::uint64_t);
static_assert(kRegisterCount == sizeof kRegisterNames / sizeof *kRegisterNames);

}  // namespace forkmend
