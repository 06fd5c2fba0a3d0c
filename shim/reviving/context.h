// Where a parked thread can go on in a child: its callee-saved registers at a call.
//
// Promises: save_context_and_call() is an ordinary call, to the compiler and to an unwinder. While
// the called function runs, everything of the thread that lies above the call stays as it is; so
// whoever puts stack and thread-local storage back can let the thread return from that call a
// second time, in another process, with resume_context(). Neither setjmp nor longjmp: those mangle
// pointers and are checked by _FORTIFY_SOURCE.
// Does not: keep a shadow stack (CET) in step: with one in force nothing is resumed.
#pragma once

#include <cstdint>

#include "shim/base/compiler.h"

namespace forkmend {

#if defined(__x86_64__)
inline constexpr bool kCanResume = true;
struct Context {
  std::uint64_t bx, bp, r12, r13, r14, r15, sp;
  std::uint32_t mxcsr;
  std::uint32_t x87_control;  // 16 bits
};
#else
inline constexpr bool kCanResume = false;
struct Context {
  std::uint64_t sp;
};
#endif

extern "C" {
// Calls function(argument). Returns 0 when it has returned, 1 in a thread that was resumed.
long forkmend_save_context_and_call(void (*function)(void*), void* argument, Context* context);
// Sets the signal mask and lets the call above return 1. The calling thread's own stack is given
// up. The mask is set when the stack pointer is back: a handler may run at once.
[[noreturn]] void forkmend_resume_context(const Context* context, const std::uint64_t* mask);
}

}  // namespace forkmend
