// Compiler shorthands. Promises nothing else.
#pragma once

// Exported from the shared object; everything else is hidden by the version script and by default.
#define FORKMEND_EXPORT extern "C" __attribute__((visibility("default")))
// On declarations of variables that hot paths read: one instruction instead of a load through the
// GOT.
#define FORKMEND_HIDDEN __attribute__((visibility("hidden")))
// Variables that every process reads, or that child entry writes: together on one page, so that a
// fork copies one page for them.
#define FORKMEND_SAME_PAGE __attribute__((section(".data.child")))
#define FORKMEND_LIKELY(x) __builtin_expect(!!(x), 1)
#define FORKMEND_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define FORKMEND_NOINLINE __attribute__((noinline))
#define FORKMEND_COLD __attribute__((noinline, cold))
#define FORKMEND_INLINE inline __attribute__((always_inline))
// Initial-exec: one instruction, no __tls_get_addr, no allocation. The static TLS of a process is
// small and shared by all preloads (dyninst#101), so only pointers and flags are kept there.
#define FORKMEND_TLS __thread __attribute__((tls_model("initial-exec")))
#define FORKMEND_CALLER __builtin_return_address(0)
