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

}  // namespace forkmend
