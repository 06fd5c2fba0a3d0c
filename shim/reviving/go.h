// What a library written in Go (-buildmode=c-shared) tells of itself.
//
// Promises: its first enqueue is a call from C into Go, each of which Go announces to a context
// function that anybody may set (runtime.SetCgoTraceback's): ours costs such a call a load while
// nothing is lost. Of Go's own record of a thread (its M) the one field that does not survive a
// fork is put right: the thread's id, to which asynchronous preemption sends SIGURG. That is found
// by probing, without symbols; memory that is not mapped is not touched. Does not: see what Go's
// own threads do by themselves; take the context function from a program that has set one.
#pragma once

#include <pthread.h>

#include "shim/reporting/modules.h"

namespace forkmend::go {

// Whether the library is one.
bool is_go(const modules::Module& library);

// Sets the context function. False if there is another: then nobody tells when C calls into Go. Not
// on the child or signal path.
bool watch_calls(const modules::Module& library);
// Whether it is still ours.
bool watches_calls(const modules::Module& library);

// The thread was `before` and is `now`: puts that into its record, and lets it find a SIGURG that
// may have gone to the former. Async-signal-safe. False if the thread has no such record.
bool renew_id(pthread_t thread, int before, int now);

}  // namespace forkmend::go
