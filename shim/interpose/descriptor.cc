// Waiting for descriptors.
#include "shim/interpose/interpose.h"
#include "shim/waiting/waits.h"

using namespace forkmend;

FORKMEND_EXPORT int epoll_wait(int fd, epoll_event* events, int count, int timeout) {
  return waiting::epoll_wait(fd, events, count, timeout, FORKMEND_CALLER);
}

FORKMEND_EXPORT int epoll_pwait(int fd, epoll_event* events, int count, int timeout,
                                const sigset_t* mask) {
  return waiting::epoll_pwait(fd, events, count, timeout, mask, FORKMEND_CALLER);
}

FORKMEND_EXPORT int poll(pollfd* fds, nfds_t count, int timeout) {
  return waiting::poll(fds, count, timeout, FORKMEND_CALLER);
}

FORKMEND_EXPORT int ppoll(pollfd* fds, nfds_t count, const timespec* timeout,
                          const sigset_t* mask) {
  return waiting::ppoll(fds, count, timeout, mask, FORKMEND_CALLER);
}

// What callers built with _FORTIFY_SOURCE reach where the compiler knows the array's size: a wait
// all the same (Debian's librdkafka looked as if its threads never waited).
extern "C" [[noreturn]] void __chk_fail();

FORKMEND_EXPORT int __poll_chk(pollfd* fds, nfds_t count, int timeout, size_t size) {
  if (size / sizeof *fds < count) __chk_fail();
  return waiting::poll(fds, count, timeout, FORKMEND_CALLER);
}

FORKMEND_EXPORT int __ppoll_chk(pollfd* fds, nfds_t count, const timespec* timeout,
                                const sigset_t* mask, size_t size) {
  if (size / sizeof *fds < count) __chk_fail();
  return waiting::ppoll(fds, count, timeout, mask, FORKMEND_CALLER);
}

FORKMEND_EXPORT int select(int count, fd_set* in, fd_set* out, fd_set* except, timeval* timeout) {
  return waiting::select(count, in, out, except, timeout, FORKMEND_CALLER);
}

FORKMEND_EXPORT int pselect(int count, fd_set* in, fd_set* out, fd_set* except,
                            const timespec* timeout, const sigset_t* mask) {
  return waiting::pselect(count, in, out, except, timeout, mask, FORKMEND_CALLER);
}
