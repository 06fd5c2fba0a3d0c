// Policy callback: the runtime's own functions, registered through the API.
//
// Promises: respawn is called at the first enqueue in the child, once; another thread that enqueues
// meanwhile waits until it returned. A failure (EAGAIN, ENOMEM) is reported and tried again at the
// next enqueue; it never throws or crashes the caller.
#pragma once

#include "include/forkmend/forkmend.h"
#include "shim/base/token.h"

namespace forkmend {
struct Runtime;
}

namespace forkmend::reviving {

// In the parent, before fork, in order of registration.
void call_before_fork();
// In the child, on entry.
void call_child(const ChildEntry&);

// The functions behind include/forkmend/forkmend.h; parameters and results as there.
forkmend_runtime* add(const char* name, const forkmend_callbacks* callbacks, void* user,
                      const void* caller);
int adopt_lock(forkmend_runtime* handle, forkmend_lock_kind kind, void* lock);
int adopt_thread(forkmend_runtime* handle);
int enqueue(forkmend_runtime* handle);
void remove(forkmend_runtime* handle);

// enqueue() for a call that was not meant as one by who wrote it: a function that a profile names.
// Does nothing inside of the respawn callback, and in threads that it creates.
void enqueue_by_declared(Runtime& r);

}  // namespace forkmend::reviving
