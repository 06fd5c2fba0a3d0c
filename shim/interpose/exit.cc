// The ways out: exit, quick_exit, _exit, return from main.
#include "shim/exiting/exit.h"
#include "shim/base/load.h"
#include "shim/interpose/interpose.h"

using namespace forkmend;

FORKMEND_EXPORT __attribute__((noreturn)) void exit(int status) {
  if (is_active()) exiting::begin();
  real().exit(status);
  __builtin_unreachable();
}

FORKMEND_EXPORT __attribute__((noreturn)) void quick_exit(int status) {
  if (is_active()) exiting::begin();
  real().quick_exit(status);
  __builtin_unreachable();
}

// Leaves at once, as POSIX has it: in a vfork child, after an error between fork and exec.
FORKMEND_EXPORT __attribute__((noreturn)) void _exit(int status) {
  real()._exit(status);
  __builtin_unreachable();
}

// A return from main never calls the exported exit. One symbol without a version catches programs
// linked against GLIBC_2.2.5 and 2.34 alike.
FORKMEND_EXPORT int __libc_start_main(MainFn main, int argc, char** argv, void (*init)(),
                                      void (*fini)(), void (*rtld_fini)(), void* stack_end) {
  exiting::set_main(main);
  return real().__libc_start_main(exiting::run_main, argc, argv, init, fini, rtld_fini, stack_end);
}
