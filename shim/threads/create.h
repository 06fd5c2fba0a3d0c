// Thread creation: the trampoline that makes a record, and who created what (attribution).
//
// Promises: pthread_create and thrd_create behave as libc's; a thread that cannot have a record
// runs without one. `caller` is the address of the call. Does not: change attributes, stacks or
// signal masks.
#pragma once

#include <pthread.h>
#include <threads.h>

#include "shim/threads/thread.h"

namespace forkmend::threads {

int create(pthread_t* handle, const pthread_attr_t* attributes, void* (*start)(void*),
           void* argument, const void* caller);
int create_c11(thrd_t* handle, thrd_start_t start, void* argument, const void* caller);

// Frees the records of registered threads that ended, once the kernel says that they are gone: a
// child must not take them for lost ones.
void reap();

// The calling thread changed the signals that it blocks: kept for going on in a child.
void note_mask();

// The real pthread_create of a lost thread on its own stack (reviving/resume.h).
int make_anew(Thread* t, pthread_t* handle, const pthread_attr_t* attributes);

// A thread was given a name: kept for the report, and matched against profiles that name threads.
void set_name(pthread_t handle, const char* name);

}  // namespace forkmend::threads
