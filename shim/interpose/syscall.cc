// Behind syscall.S: futexes, through which Rust and libstdc++ wait. And write(), with which an
// eventfd is signalled.
#include <errno.h>
#include <sys/syscall.h>

#include "shim/base/syscall.h"
#include "shim/interpose/interpose.h"
#include "shim/reviving/forkall.h"
#include "shim/reviving/forkall_descriptors.h"
#include "shim/reviving/kernel_objects.h"
#include "shim/reviving/trigger.h"
#include "shim/waiting/handover.h"
#include "shim/waiting/waits.h"

using namespace forkmend;

namespace {
constexpr size_t kLargestWakeUp = 8;  // an eventfd's; to a pipe it is mostly one byte
}

// Called by syscall.S alone.
extern "C" __attribute__((visibility("hidden"))) long forkmend_futex(long word, long operation,
                                                                     long value, long timeout,
                                                                     long second, long mask,
                                                                     const void* caller) {
  return waiting::futex(word, operation, value, timeout, second, mask, caller);
}

#if defined(__aarch64__)
extern "C" __attribute__((visibility("hidden"))) long forkmend_early_syscall(long n, long a, long b,
                                                                             long c, long d, long e,
                                                                             long f) {
  const long result = sys::call(n, a, b, c, d, e, f);
  if (result >= 0 || result < -4095) return result;
  errno = static_cast<int>(-result);
  return -1;
}
#endif

FORKMEND_EXPORT ssize_t write(int fd, const void* buffer, size_t size) {
  if (!quiet() && (size == 8 || trigger::any())) handover::note_write(fd, size, FORKMEND_CALLER);
  if (forkall::any()) {
    forkall::wrote(fd, FORKMEND_CALLER);
  } else if (size <= kLargestWakeUp) {
    kernel_objects::wrote(fd);
  }
  return real().write(fd, buffer, size);
}
