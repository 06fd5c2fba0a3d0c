// Kernel objects that a child would share with its parent: who made them.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include "shim/interpose/interpose.h"
#include "shim/reviving/forkall.h"
#include "shim/reviving/forkall_descriptors.h"
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

// A thread that waits on the set learns of it; one that does not live here goes on first, with a
// set of its own. Not for a removal, with which a child only tidies up.
FORKMEND_EXPORT int epoll_ctl(int set, int operation, int fd, epoll_event* event) {
  if (forkall::any() && operation != EPOLL_CTL_DEL) forkall::changes_set(set);
  return static_cast<int>(
      real().syscall(SYS_epoll_ctl, set, operation, fd, reinterpret_cast<long>(event), 0, 0));
}

FORKMEND_EXPORT int timerfd_settime(int fd, int flags, const itimerspec* time, itimerspec* old) {
  if (forkall::any()) forkall::arms(fd);
  return static_cast<int>(real().syscall(SYS_timerfd_settime, fd, flags,
                                         reinterpret_cast<long>(time), reinterpret_cast<long>(old),
                                         0, 0));
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
  if (forkall::any()) forkall::sees_parent();
  return kernel_objects::connected(real().connect(fd, address, size), fd, FORKMEND_CALLER);
}
