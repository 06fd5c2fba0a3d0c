// Whether the kernel would have restarted an interrupted wait.
//
// A futex wait without a timeout is restarted after a handler with SA_RESTART; one with a timeout
// (a slice) returns EINTR after any handler. To the program a slice must look like the former.
// Promises: true only if every handler installed has SA_RESTART. With a mix the caller sees EINTR,
// which POSIX allows. Raw system calls, about 5 µs; only after an EINTR in a process with lost
// threads.
#pragma once

namespace forkmend::restart {

// This signal's handler is the shim's own: it ends no wait, and is left out everywhere here.
void leave_out(int signal);

bool would_restart();

// True if one of these signals has a handler after which the kernel would not restart the wait.
bool would_end(unsigned long signals);

// True if the calling thread blocks a signal that has a handler: it may be inside that handler.
bool handled_signal_blocked();

// True if a handler of the program's could run and end a wait: any installed but those the caller
// names harmless. Bit n-1 of `except` leaves out signal n, is_harmless(function) a handler.
bool any_handler(unsigned long except, bool (*is_harmless)(const void* handler));

}  // namespace forkmend::restart
