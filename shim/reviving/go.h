// Go's own record of a thread (its M), of which one field does not survive a fork: the thread's id,
// to which asynchronous preemption sends SIGURG.
//
// Promises: everything is found by probing, from the thread-local variable that holds the current
// goroutine; memory that is not mapped is not touched. Nothing happens in a thread that has none.
// Does not: depend on symbols, which a stripped library lacks.
#pragma once

#include <pthread.h>

namespace forkmend::go {

// The thread was `before` and is `now`: puts that into its record, and lets it find a SIGURG that
// may have gone to the former. Async-signal-safe. False if the thread has no such record.
bool renew_id(pthread_t thread, int before, int now);

}  // namespace forkmend::go
