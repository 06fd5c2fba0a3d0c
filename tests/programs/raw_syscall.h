// A system call in the instruction stream of its caller: no preload sees it.
//
// Promises: the kernel's result, an error as a negative number. Does not: touch errno.
#pragma once

#include <sys/syscall.h>

inline long raw_syscall(long number, long a, long b = 0, long c = 0, long d = 0) {
#if defined(__x86_64__)
  register long fourth asm("r10") = d;
  asm volatile("syscall"
               : "+a"(number)
               : "D"(a), "S"(b), "d"(c), "r"(fourth)
               : "rcx", "r11", "memory");
  return number;
#else
  register long which asm("x8") = number;
  register long result asm("x0") = a;
  register long second asm("x1") = b;
  register long third asm("x2") = c;
  register long fourth asm("x3") = d;
  asm volatile("svc 0"
               : "+r"(result)
               : "r"(which), "r"(second), "r"(third), "r"(fourth)
               : "memory");
  return result;
#endif
}
