// The exit phase.
//
// Promises: begun once, however exit comes: registered runtimes are asked to stop, in reverse order
// of registration. In a forked child, runtimes whose threads were lost are not asked.
// Does not: change the exit code. _exit, a fatal signal and exec begin no exit phase.
#pragma once

#include "shim/base/real.h"

namespace forkmend::exiting {

void begin();

// Return from main: __libc_start_main is given run_main, which calls the program's main and begins
// the exit phase when it returns.
void set_main(MainFn main);
int run_main(int argc, char** argv, char** environment);

}  // namespace forkmend::exiting
