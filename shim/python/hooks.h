// The at-fork hooks: what runs in the interpreter around os.fork.
//
// Promises: `before` runs after every other before-hook, since it is registered first and they run
// in reverse: a runtime that an SDK's own hook shuts down is waited for after that. It waits with
// the GIL released. It never raises, and costs two loads in a process with one thread. Does not:
// see a fork that does not go through CPython (uWSGI calls libc's).
#pragma once

namespace forkmend::python::hooks {

// os.register_at_fork(before=…, after_in_parent=…, after_in_child=…). Once, in the main
// interpreter, with the GIL. False if the interpreter refused.
bool register_at_fork();

// True between the calling thread's before-hook and its after-hook.
bool under_way();

}  // namespace forkmend::python::hooks
