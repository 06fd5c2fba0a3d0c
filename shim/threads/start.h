// The start of a thread, seen from both sides: who creates it, and the thread itself.
//
// libc writes the new thread's handle where the caller of pthread_create wants it, before the
// thread runs. From when it may run, that memory is the thread's, which may have freed it before
// its creator is back from libc.
// Promises: the caller's memory is read only while the new thread is held before its first step. Of
// the two the one that is first notes the handle and decides whether the thread stays or makes way
// (apart.h); the other finds it decided. When the creator returns to the program, the handle is
// known. Neither waits for more than the few instructions of the other's. Of a thread that makes
// way, the second of the two releases the record.
// Does not: know the handle of a thread whose creator was inside libc at a fork; nobody was told.
#pragma once

#include <pthread.h>

#include "shim/threads/thread.h"

namespace forkmend::threads {

// In the new thread, before anything of the program's; it is `running` from then on. False: it is
// to end, and has no record any more.
bool arrive(Thread& t);

// In its creator, when libc has created it: `created` is what the record was before that, `handle`
// where libc noted the handle. False: another one is to be created, with another record.
bool note_created(Thread& t, Identity created, const pthread_t* handle);

}  // namespace forkmend::threads
