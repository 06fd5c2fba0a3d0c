// Policy resume: the lost threads of a runtime go on in the child, each on its own stack, with its
// own thread-local storage; the wait it was parked in ends spuriously.
//
// Promises: all threads of a runtime or none; each is libc's own: made by pthread_create, at the
// same address, so that lists, counts, robust locks, rseq, setuid and join are libc's business. No
// thread goes on, the reviving one included, until the thread-local storage of all is back (threads
// write into each other's). A failure (EAGAIN, ENOMEM) leaves everything as it was; it is tried
// again at the next enqueue.
// Does not: resume a thread that was not parked at the fork, that has a CPython thread state
// (CPython frees those of lost threads), or that waited at a barrier.
#pragma once

#include <atomic>

#include "shim/base/token.h"
#include "shim/reviving/image.h"
#include "shim/threads/stacks.h"
#include "shim/threads/thread.h"

namespace forkmend::resume {

// Runtimes that lost their threads and wait for their first enqueue; nearly always 0.
extern FORKMEND_HIDDEN std::atomic<int> pending;

// Whether threads can go on in a child of this process at all: not with a malloc of its own, nor
// with a libc or a machine that is not known (image::probe). Asked first when a thread is created
// that is to; afterwards a load or two.
bool possible_here();

// Child entry: counts them. A few loads a runtime.
void after_fork_child(const ChildEntry&);

// Brings the threads of a pending runtime back. Safe against several threads at once: one revives,
// the others wait for it. Nothing in a vfork child. Returns 0 if the threads are there, EAGAIN and
// the like if they could not be made, ENOTSUP if they cannot be resumed (reported once).
int revive(Runtime& r);

// One lost thread of policy forkall, by itself. As revive(); EAGAIN also where nothing may be made
// anew now: in a vfork child, in a thread that is reviving.
int revive(Thread& t);
// The calling thread is making threads anew.
bool is_reviving();

// Those whose policy is `eager`: in the interposed fork, when libc's own work is done.
void revive_eager();

// In a thread made anew (threads/create.cc). arrive() returns false if the revival was given up:
// the thread then ends. go_on() continues where the lost thread was.
// As arrive(), in one that begins again; with its signal mask.
bool arrive_again(Stack& s);
bool arrive(Stack& s, const void* frame, image::Rest& rest);
[[noreturn]] void go_on(Thread& t, Stack& s, const image::Rest& rest);

}  // namespace forkmend::resume
