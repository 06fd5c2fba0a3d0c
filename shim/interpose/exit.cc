// The ways out. exit, a return from main and the end of the last thread run libc's list of exit
// handlers, where the exit phase has its places: nothing of theirs needs to be interposed.
#include "shim/exiting/exit.h"
#include "shim/base/load.h"
#include "shim/interpose/interpose.h"

using namespace forkmend;

// Runs handlers of its own list alone.
FORKMEND_EXPORT __attribute__((noreturn)) void quick_exit(int status) {
  if (is_active()) exiting::begin();
  real().quick_exit(status);
  __builtin_unreachable();
}
