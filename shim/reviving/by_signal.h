// Resume by signal: for runtimes that wait in system calls of their own (Go), where no interposed
// call could park their threads.
//
// Promises: at a fork, behind the closed gate, each thread of such a runtime gets a reserved
// signal. Its handler parks there if the interrupted instruction is the library's own; else it
// returns at once, and the thread is asked again. In the child the thread is made anew and returns
// from that handler: the kernel puts its registers, its mask and its alternate stack back. No
// other thread is ever sent the signal.
// Does not: stop a thread inside libc, the loader, the vDSO or any other library, which may hold
// locks that nobody sees. A wait that the kernel does not restart (one with a timeout, epoll_wait)
// ends with EINTR in the parent too. A thread that the library did not create and that is inside
// of it at the fork is neither stopped nor seen.
#pragma once

#include "shim/base/clock.h"
#include "shim/base/token.h"
#include "shim/runtimes/runtime.h"
#include "shim/threads/thread.h"

namespace forkmend::by_signal {

// A runtime whose profile names a signal was recognised: reserves the signal. If the program
// handles it itself that is reported, and the runtime's policy becomes `report`.
void prepare(Runtime& r);

// In a thread of a runtime with a signal that begins, or has changed its mask: unblocks the signal.
void unblock(const Thread& t);

// At a fork, in the forking thread: notes its id, and sees that the signals are still ours.
void before_fork();
void after_fork_child(const ChildEntry&);

// Behind the closed gate: asks a thread that is not parked to park, unless it has yet to answer.
// `at`: time since some moment.
void ask(const Thread& t, Nanoseconds at);

// In a child: whether the fork was called by the runtime itself. It then goes on right behind that
// call, and nothing tells that it needs its threads.
bool forked_by(const Runtime& r);

// In a thread that was made anew, its thread-local storage back in place: tells the runtime the
// new thread id, where it keeps the old one.
void went_on(const Thread& t, int id_before);

// The same for the thread that forked. Before any thread of the runtime goes on.
void forker_went_on();

}  // namespace forkmend::by_signal
