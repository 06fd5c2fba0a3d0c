#include "shim/python/sockets.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "shim/base/lazy.h"
#include "shim/base/syscall.h"

namespace forkmend::python::sockets {
namespace {

// Descriptors above this are not followed: a server with more open files has them for its clients,
// and an SDK connects early.
constexpr int kMostDescriptors = 4096;

struct Connection {
  unsigned long inode;  // 0: none known
  int tid;
  int pid;  // of the process where it was connected
};
struct Table {
  Connection at[kMostDescriptors];
};
Lazy<Table> table;
int highest;  // the highest descriptor noted

bool option_is(int fd, int option, int first, int second) {
  int value = 0;
  unsigned size = sizeof value;
  return sys::call(SYS_getsockopt, fd, SOL_SOCKET, option, sys::arg(&value), sys::arg(&size)) ==
             0 &&
         (value == first || value == second);
}

bool is_stream(int fd) {
  return option_is(fd, SO_TYPE, SOCK_STREAM, SOCK_STREAM) &&
         option_is(fd, SO_DOMAIN, AF_INET, AF_INET6);
}

unsigned long inode_of(int fd) {
  struct stat info {};
  return fstat(fd, &info) == 0 ? info.st_ino : 0;
}

}  // namespace

void note_connect(PyObject* arguments) {
  PyObject* socket = api.PyTuple_GetItem(arguments, 0);  // borrowed
  const int fd = socket != nullptr ? api.PyObject_AsFileDescriptor(socket) : -1;
  if (fd < 0) return api.PyErr_Clear();
  if (fd >= kMostDescriptors || !is_stream(fd)) return;
  Table* all = table.get();
  if (all == nullptr) return;
  all->at[fd] = {inode_of(fd), sys::gettid(), sys::getpid()};
  if (fd > highest) highest = fd;
}

unsigned long stream_inode(int fd) {
  char peer[128];
  unsigned size = sizeof peer;
  if (!is_stream(fd) || sys::call(SYS_getpeername, fd, sys::arg(peer), sys::arg(&size)) != 0)
    return 0;
  return inode_of(fd);
}

int connected_by(int fd, unsigned long inode) {
  const Table* all = table.existing();
  if (all == nullptr || fd < 0 || fd >= kMostDescriptors || all->at[fd].inode != inode) return 0;
  return all->at[fd].pid == sys::getpid() ? kConnectedHere : all->at[fd].tid;
}

bool cut(int fd, unsigned long inode) {
  if (fd < kMostDescriptors && table.existing() != nullptr) table.existing()->at[fd] = {};
  if (stream_inode(fd) != inode) return false;
  const long flags = sys::call(SYS_fcntl, fd, F_GETFD);
  int ends[2];
  if (sys::call(SYS_socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sys::arg(ends)) != 0)
    return false;
  sys::close(ends[1]);
  const bool inherited = (flags & FD_CLOEXEC) == 0;
  const bool done = sys::call(SYS_dup3, ends[0], fd, inherited ? 0 : O_CLOEXEC) == fd;
  sys::close(ends[0]);
  return done;
}

int cut_of_thread(int tid) {
  const Table* all = table.existing();
  int count = 0;
  for (int fd = 0; all != nullptr && fd <= highest; fd++) {
    const Connection& c = all->at[fd];
    if (c.inode != 0 && c.tid == tid && cut(fd, c.inode)) count++;
  }
  return count;
}

}  // namespace forkmend::python::sockets
