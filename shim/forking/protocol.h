// The fork protocol: what happens before a fork, and after it in parent and child.
//
// Promises: protocol.cc holds the one list of which module's step runs when, and why. Every way to
// fork ends here: the interposed calls (which may wait), libc's handlers (daemon and forkpty called
// from inside libc: no waiting), and the wiped page (raw clone, SYS_fork).
// Does not: hold anything of the shim's across somebody else's handler.
#pragma once

#include "shim/forking/fork.h"

namespace forkmend::forking {

// In the forking thread, in the interposed call: the runtimes' own callbacks, then the safepoint.
// One fresh `fork` for each call, which lives until one of the other two is done.
void before(Fork& fork, const void* caller);
void after_parent(Fork& fork);
void after_child(Fork& fork);

// The waiting part of before() alone: for an interpreter, which calls fork with its own lock held.
// before() then waits no more.
void come_to_rest();

// After daemon(): the child's step was its handler's; the parent is here only after a failure.
void after_daemon(Fork& fork);

// For _Fork, which may be called in a signal handler: nothing before, and no waiting.
void after_child_bare(const void* caller);

// Brings the books of a child up to date where its entry put that off: it lost no thread, and now
// forks or creates a thread itself. Idempotent; one system call.
void catch_up();

// False in a vfork child, which shares the memory of its parent. One system call.
bool is_this_process();

// A child that nobody announced called an interposed function.
void notice_child();

// Registers libc's fork handlers. Called before the first thread is created; a process that never
// has a second thread needs none.
void install_handlers();

// Who forked this process, for the report.
const Origin& origin();

// The bridge's before hook notes where the interpreter is that is about to fork, in this thread:
// with its lock, under which others may do so before this one does. Then nothing is known.
Place& begin_place();
void end_place();
void forget_place();

}  // namespace forkmend::forking
