// The lockup report: a block or a line on stderr, an event with raw stacks in the report file, and
// the action of FORKMEND_ON_LOCKUP.
//
// Promises: written by the thread that waits, without malloc, stdio, libc locks or an unwinder; one
// write() a block. What does not fit is cut and named in `truncated`.
// Does not: name functions: the command does that from the build ids.
#pragma once

#include "shim/waiting/proof.h"

namespace forkmend {

void report_lockup(Thread& t, const Judgement& judgement);

// A lock that a lost thread held was opened: which, whose, and what its owner did at the fork, with
// its stack. `when`: "fork" (held by a thread of a registered runtime) or "contention". One event
// in the report file, as often as a storm allows; a line with FORKMEND_LOG=info.
void report_opened(const void* lock, const char* kind, const Thread& owner, const char* when);

}  // namespace forkmend
