// Raw system calls: no errno, no cancellation point, no lock, no stdio.
//
// Promises: safe in a signal handler, in a vfork child and on child entry. Every function returns
// the kernel's value: -errno on failure.
// Does not: set errno (callers on behalf of the program do, see set_errno in real.h).
#pragma once

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace forkmend::sys {

#if defined(__x86_64__)
inline long call(long n, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
inline long call(long n, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  register long x8 asm("x8") = n;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  register long x4 asm("x4") = e;
  register long x5 asm("x5") = f;
  asm volatile("svc #0"
               : "+r"(x0)
               : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
               : "memory");
  return x0;
}
#else
#error "forkmend knows x86_64 and aarch64"
#endif

template <class Pointer>
inline long arg(Pointer* p) {
  return reinterpret_cast<long>(p);
}

inline int getpid() { return static_cast<int>(call(SYS_getpid)); }
inline int gettid() { return static_cast<int>(call(SYS_gettid)); }
inline int getppid() { return static_cast<int>(call(SYS_getppid)); }

inline long open(const char* path, int flags, int mode = 0) {
  return call(SYS_openat, AT_FDCWD, arg(path), flags | O_CLOEXEC, mode);
}
inline long close(int fd) { return call(SYS_close, fd); }
inline long read(int fd, void* buffer, std::size_t size) {
  return call(SYS_read, fd, arg(buffer), static_cast<long>(size));
}
inline long write(int fd, const void* buffer, std::size_t size) {
  return call(SYS_write, fd, arg(buffer), static_cast<long>(size));
}
// True if the thread exists in this thread group. A zombie that was not yet reaped exists.
inline bool thread_exists(int pid, int tid) { return call(SYS_tgkill, pid, tid, 0) == 0; }

// Waits while *word == expected, at most timeout (relative, null = for ever). -ETIMEDOUT, -EAGAIN,
// -EINTR as the kernel says.
inline long futex_wait(const std::atomic<std::uint32_t>* word, std::uint32_t expected,
                       const timespec* timeout) {
  return call(SYS_futex, arg(word), FUTEX_WAIT_PRIVATE, static_cast<long>(expected), arg(timeout));
}
inline long futex_wake(const std::atomic<std::uint32_t>* word, int count) {
  return call(SYS_futex, arg(word), FUTEX_WAKE_PRIVATE, count);
}
inline long futex_wake_all(const std::atomic<std::uint32_t>* word) {
  return futex_wake(word, 0x7fffffff);
}
inline long yield() { return call(SYS_sched_yield); }

// Copies `size` bytes of this process's own memory, also where it may not be mapped.
// Returns the number of bytes copied (0 where nothing can be read). Never faults.
std::size_t copy_memory(void* to, const void* from, std::size_t size);

}  // namespace forkmend::sys
