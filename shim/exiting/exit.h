// The exit phase.
//
// Promises: however exit comes (exit, return from main, quick_exit, err(3), the end of the last
// thread, the end of the interpreter), in whichever thread and process, each runtime that can stop
// is asked to, in reverse order of registration: its stop callback runs in a thread of its own,
// then its threads are waited for, both within FORKMEND_EXIT_MS. What misses that is reported and
// left behind. Threads of registered runtimes that are still there stop at the gate while the rest
// of the handlers and static destructors run, and run only while the exiting thread waits itself.
//
// The order is that of exit handlers: a runtime stops where a handler that was registered together
// with it would run. So handlers that were registered later still find it working, and what was
// constructed before it is destroyed after it. In CPython all stop once Python's own atexit
// handlers have run and before the interpreter finalises. Does not: change the exit code or the
// order of anybody's handlers. _exit, a fatal signal and exec begin no exit phase. In a forked
// child, runtimes whose threads were lost are not asked.
#pragma once

#include <pthread.h>

#include <atomic>

#include "shim/base/compiler.h"

namespace forkmend {
struct Runtime;
}

namespace forkmend::exiting {

// Gives the runtime its place in the order of exit handlers. Idempotent until forget().
void schedule(Runtime& r);
// The runtime is unregistered; its slot may be used again.
void forget(const Runtime& r);

// False while there is no runtime that could be asked to stop.
bool has_work();

// Stops all of them now: from quick_exit, and from the interpreter's atexit.
void begin();

// True while threads of registered runtimes are held at the gate for the rest of the exit.
extern FORKMEND_HIDDEN std::atomic<bool> holding;

// True if a held thread waits on this condition variable, which its owner destroys: libc would wait
// for that thread.
FORKMEND_COLD bool abandons(const pthread_cond_t* c);

// The exiting thread is about to wait, or has waited: the held threads may run meanwhile, since one
// of them may be what it waits for. Any other thread: nothing.
FORKMEND_COLD void let_run();
FORKMEND_COLD void hold_again();

}  // namespace forkmend::exiting
