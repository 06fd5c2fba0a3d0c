// Destructors of thread-local objects, as they were registered with libc.
//
// libc keeps its own list in its own thread-local storage, which a thread that is made anew begins
// with empty: C++ and Rust register each object once and never again.
// Promises: kept for threads on stacks of the shim's own alone; a page for each 169 objects.
#pragma once

namespace forkmend {

struct Destructors;

namespace threads::destructors {

// The calling thread registers an object. The result is that of libc's function.
int add(void (*function)(void*), void* object, void* dso);

// In a thread that was made anew: registers them again, in order.
void register_again(const Destructors* list);

void release(Destructors* list);

}  // namespace threads::destructors
}  // namespace forkmend
