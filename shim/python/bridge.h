// The bridge into CPython.
//
// Promises: enters through an audit hook added before the interpreter starts; uses the stable C API
// by name (dlsym): no Python headers, one binary for every interpreter from 3.8. A process without
// CPython pays one failed symbol look-up. Changes no environment variable, shadows no module.
// Does not: run Python inside an interposed fork (3.12 and later hold runtime locks there); see a
// libpython that is loaded later with dlopen, a subinterpreter, or an interpreter that is started
// again after Py_Finalize.
#pragma once

#include "shim/base/text.h"
#include "shim/reporting/json.h"
#include "shim/waiting/proof.h"

namespace forkmend::python {

// From the shim's constructor: adds the audit hook if this process is a CPython.
void install();

// Signals whose handlers cannot end a wait, one bit each (bit n-1 for signal n): the one that the
// bridge reserves for stacks, and SIGINT while CPython's own handler has it.
unsigned long reserved_signals();

// True if an interpreter runs in this process and the bridge is in it.
bool present();

// True if the calling thread is inside the interpreter: it holds the GIL, or the call comes from
// the interpreter's own code, which is where the GIL is handed on (PyEval_SaveThread takes a mutex
// while the GIL is already nobody's by PyGILState_Check). Stopped there it would keep the GIL from
// the forking thread, which closes the gate first and takes the GIL again after. True for every
// thread while a subinterpreter exists. Async-signal-safe; a few loads.
bool is_inside(const void* caller);

// True if the address is in the interpreter's own code. Async-signal-safe; a few comparisons.
bool is_interpreters(const void* address);

// Why the calling thread's wait can never end, by the Python object it waits for: a queue whose
// consumers are lost, a future whose executor has no worker, a lost thread. Takes the GIL, which
// the thread has released for the wait. False, and nothing written, if nothing is known.
bool explain_wait(Judgement& out);

// The calling thread's Python frames: as faulthandler's handler writes them, in this thread. None
// without an interpreter, where no fork with threads went through os.fork yet, or where the program
// has taken what it needs (the reserved signal, the descriptor number). Threads take turns; one
// that has waited long enough goes without.
struct Frames {
  std::size_t size = 0;
  std::uint64_t hash = 0;  // of files and functions (not lines) of the innermost five
  // The innermost frame whose file is outside the standard library, for a line of text:
  // "app/metrics.py:41 flush"; empty if none.
  Text<256> innermost;
  // 64 frames of 200 characters, which is long for one: names are cut at 500 by faulthandler.
  char text[16 * 1024];
};
void read_frames(Frames& out);
// An array of {file, line, function}, innermost first, at most 64.
void write_frames(Json& json, const Frames& frames);

}  // namespace forkmend::python
