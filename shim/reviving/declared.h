// Declared enqueue symbols: functions by which a program hands work to a runtime whose queue wakes
// nobody that the shim could see (a spin queue, inline system calls). A profile names them.
//
// Promises: in a child that lost the runtime's threads, a call of such a function from another
// object than the one that defines it, or through its own procedure linkage table, is a first
// enqueue (trigger.h): the threads are back before the function itself runs. Its arguments, in all
// registers and on the stack, and its result are untouched. While nothing is lost such a call costs
// one load and two jumps. What is changed are the slots of global offset tables and the words of
// data that the loader filled with the function's address, when the runtime is recognised and at
// the next fork after an object was loaded.
// Does not: see a call through a pointer that dlsym gave (ctypes, JNI), a call inside one object,
// or one from an object that the child itself loaded.
#pragma once

#include "shim/base/token.h"
#include "shim/runtimes/profile.h"

namespace forkmend::declared {

// How many (library, symbol) pairs a process may have; what exceeds it is reported, and is none.
inline constexpr int kMaxStubs = 64;  // also in stubs.S

// A runtime with this profile is recognised; `profile` stays valid. Not on the child or signal
// path. Idempotent.
void declare(const Profile& profile);

// Before a fork, with the module map up to date: objects that were loaded since. A load where no
// profile declares anything.
void before_fork();

void after_fork_child(const ChildEntry&);

}  // namespace forkmend::declared
