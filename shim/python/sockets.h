// Connections of Python's lost threads: dead ends in the child.
//
// Parent and child of a fork share a connection: two processes that write requests on it get each
// other's answers. A descriptor that was replaced by the end of a closed pair reads as "closed by
// the peer" and writes as EPIPE, which is what every client of a network knows how to mend; the
// parent's connection stays whole.
//
// Promises: only connected TCP sockets that this process inherited, told by inode, never by number
// alone. Does not: see connections that a C extension makes.
#pragma once

#include <sys/types.h>

#include "shim/python/capi.h"

namespace forkmend::python::sockets {

// The audit event "socket.connect": notes which thread connects. With the GIL; raises nothing.
void note_connect(PyObject* arguments);

// The inode of a connected TCP socket, or 0 for anything else.
unsigned long stream_inode(int fd);

// The kernel id of the thread that connected this socket in an ancestor; kConnectedHere if that was
// in this process; 0 if it is not known.
inline constexpr int kConnectedHere = -1;
int connected_by(int fd, unsigned long inode);

// In a child: replaces this descriptor, if it still is that socket. True if it did.
bool cut(int fd, unsigned long inode);

// In a child: replaces every socket that a thread with this kernel id connected in the parent.
// Returns how many.
int cut_of_thread(int tid);

}  // namespace forkmend::python::sockets
