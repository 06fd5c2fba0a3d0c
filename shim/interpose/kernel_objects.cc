// Kernel objects that a child would share with its parent: who made them.
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "shim/interpose/interpose.h"
#include "shim/reviving/kernel_objects.h"

using namespace forkmend;

FORKMEND_EXPORT int epoll_create(int size) {
  return kernel_objects::made(real().epoll_create(size), FORKMEND_CALLER);
}

FORKMEND_EXPORT int epoll_create1(int flags) {
  return kernel_objects::made(real().epoll_create1(flags), FORKMEND_CALLER);
}

FORKMEND_EXPORT int eventfd(unsigned value, int flags) {
  return kernel_objects::made(real().eventfd(value, flags), FORKMEND_CALLER);
}

FORKMEND_EXPORT int timerfd_create(int clock, int flags) {
  return kernel_objects::made(real().timerfd_create(clock, flags), FORKMEND_CALLER);
}

FORKMEND_EXPORT int pipe(int* fds) {
  return kernel_objects::made_pair(real().pipe(fds), fds, FORKMEND_CALLER);
}

FORKMEND_EXPORT int pipe2(int* fds, int flags) {
  return kernel_objects::made_pair(real().pipe2(fds, flags), fds, FORKMEND_CALLER);
}

FORKMEND_EXPORT int socketpair(int domain, int type, int protocol, int* fds) {
  return kernel_objects::made_pair(real().socketpair(domain, type, protocol, fds), fds,
                                   FORKMEND_CALLER);
}

FORKMEND_EXPORT int connect(int fd, const sockaddr* address, socklen_t size) {
  return kernel_objects::connected(real().connect(fd, address, size), fd, FORKMEND_CALLER);
}
