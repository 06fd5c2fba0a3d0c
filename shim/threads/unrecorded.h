// Threads that have no wait record at a fork: running, or blocked in a call that is not interposed.
//
// Promises: asks the kernel what they do (/proc/self/task/TID/syscall) for the report, at most
// eight a fork: about 5 µs each. Idle pools have wait records and cost nothing.
#pragma once

namespace forkmend::threads {

// In the parent, before the fork.
void ask_kernel();

}  // namespace forkmend::threads
