#include "shim/exiting/exit.h"

#include <atomic>

#include "shim/base/load.h"
#include "shim/reviving/callback.h"

namespace forkmend::exiting {
namespace {

FORKMEND_SAME_PAGE std::atomic<bool> begun{false};
FORKMEND_SAME_PAGE MainFn program_main;

}  // namespace

void begin() {
  if (begun.exchange(true)) return;
  reviving::call_stop();
}

void set_main(MainFn main) { program_main = main; }

int run_main(int argc, char** argv, char** environment) {
  const int status = program_main(argc, argv, environment);
  if (is_active()) begin();
  return status;
}

}  // namespace forkmend::exiting
