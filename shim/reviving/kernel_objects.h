// Kernel objects that a child shares with its parent: epoll sets, eventfds, timerfds, pipes and
// socket pairs to oneself, connections.
//
// Promises: who made them is known from the interposed calls (by the calling library), what is in
// them from /proc/self/fdinfo; nothing needs kcmp, which containers deny. rebuild() puts objects of
// the child's own under the same numbers: epoll sets with what they watch, counters with their
// value, timers with what is left, pipes and pairs with what was unread. Connections that an epoll
// set watches, or that a library (not the program itself) made with connect(), become dead ends:
// the far end has hung up, so that the library connects anew and never writes on its parent's
// connection. Listening sockets stay.
// Notes are taken of libraries that a built-in profile resumes unasked; of everybody where somebody
// asked for it. Others pay a look at a remembered answer.
// Does not: know objects made by raw system calls, or descriptors from 65,536 on; touch what other
// libraries or the child itself made.
#pragma once

namespace forkmend {
struct Runtime;
}

namespace forkmend::kernel_objects {

// Notes who made a descriptor; returns it. A result below 0 is passed on.
int made(int fd, const void* caller);
int made_pair(int result, const int* fds, const void* caller);
// Notes who connected a socket, at once or later; returns the result and leaves errno as it is.
int connected(int result, int fd, const void* caller);

// True if the eventfd, or the writing end of the pipe or pair, belongs to the runtime's library.
bool made_by(const Runtime& r, int fd);

// In a child, before the runtime's threads go on. 0, or an errno value: then nothing may go on.
int rebuild(const Runtime& r);

}  // namespace forkmend::kernel_objects
