// The ways into the interpreter, guarded in the libraries that create threads.
//
// Promises: after guard(), a thread that enters the interpreter from that library while it
// finalises, or after, is parked (exiting/park.h) instead of killing the process. Done in the
// library's own global offset table, so that it works with a static python too, whose functions no
// preload comes before; and at the library's first thread, so that it works for one that is loaded
// later. Costs each entry a load and two calls of a few instructions.
// Does not: guard the interpreter's own threads (they leave by pthread_exit, see finalizing.h), a
// library that creates no thread, or a pointer that a library took by itself with dlsym.
#pragma once

namespace forkmend {
struct Runtime;
}

namespace forkmend::python::entry {

// A thread is being created by the code at `caller`; `symbol` lies in the library whose code it
// will run (they differ for std::thread). `runtime` is the new thread's, or null. Once a library; a
// few loads without an interpreter.
void guard(const void* caller, const void* symbol, const Runtime* runtime);

}  // namespace forkmend::python::entry
