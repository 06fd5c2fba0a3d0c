// A call into libc that would never return, because a lost thread took libc's own lock with it.
//
// Nothing of it could be seen from outside: libc waits in system calls of its own. So the first
// call of a kind that a lost thread was inside of at the fork is tried in a process forked for it,
// which is killed when it is known. Promises: if that one stands in a lock and this process has no
// other thread that could open it, the wait is watched, proved and reported like any other, before
// the real call is made, which hangs as it would have. Does not: judge in a child that has other
// threads (one of them may hold the allocator's lock, which the trial then waits for), or where no
// process can be made.
#pragma once

#include "shim/locks/libc_calls.h"

namespace forkmend::libc_stuck {

// In a child whose fork left threads inside. Returns when the call has been tried, or reported.
void try_first(Thread& t, const LibcFunction& function, libc_calls::Trial trial,
               const void* caller);

// The lost thread that was inside a function with the same lock, or null.
Thread* left_inside(const LibcFunction& function);

}  // namespace forkmend::libc_stuck
