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
struct Thread;
}  // namespace forkmend

namespace forkmend::kernel_objects {

// Notes who made a descriptor; returns it. A result below 0 is passed on.
int made(int fd, const void* caller);
int made_pair(int result, const int* fds, const void* caller);
// Notes who connected a socket, at once or later; returns the result and leaves errno as it is.
int connected(int result, int fd, const void* caller);

// The calling thread writes a wake-up's worth of bytes. Before the first fork that loses threads it
// is noted that this process wakes itself by this descriptor.
void wrote(int fd);
// Whether a write to it by `caller` is this process's own wake-up, as far as is known: it wrote to
// it before the fork, or it is a library's, which writes there itself. What the program made to
// hear of its children is neither. `other`: the far end of a pair, or -1.
bool wakes_itself(int fd, const void* caller, int& other);
// Whether it is an eventfd, or an end of a pipe or pair, of which it is known who made it.
bool is_noted(int fd, int& other);
// True if the epoll set watches the descriptor.
bool set_watches(int set, int fd);

// True if the eventfd, or the writing end of the pipe or pair, belongs to the runtime's library.
bool made_by(const Runtime& r, int fd);

// In a child, before the runtime's threads go on. 0, or an errno value: then nothing may go on.
int rebuild(const Runtime& r);
// The same for one thread of policy forkall: the set that it waits on, and at the first one of a
// library what nobody waits on.
int rebuild(Runtime& r, const Thread& one);
// Child entry.
void after_fork_child();

}  // namespace forkmend::kernel_objects
