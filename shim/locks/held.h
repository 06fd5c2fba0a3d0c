// Locks that threads of registered runtimes hold, and what becomes of them in a child.
//
// Promises: a short list per thread, by address, kept by the thread itself. The parent collects
// what is held at the safepoint (nearly always nothing); on child entry exactly those are reset, so
// that the child's cost does not grow with the number of threads or locks. Does not: touch a
// process-shared lock, or one that the forking thread holds.
#pragma once

#include "shim/base/token.h"
#include "shim/threads/thread.h"

namespace forkmend::locks {

void push(Thread& t, const void* lock, HeldKind kind);
void pop(Thread& t, const void* lock);

// Drops entries that another thread unlocked, or whose memory was freed. Only while the gate is
// closed: it asks the kernel for a safe read.
void drop_stale(Thread& t);

// Before the fork, at the safepoint: notes what lost threads will hold.
void collect();

// Child entry: opens what was collected.
void after_fork_child(const ChildEntry&);

// How many locks the child's entry opened, and how many it had no room to note.
int opened_at_fork();

}  // namespace forkmend::locks
