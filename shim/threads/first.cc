#include "shim/threads/first.h"

#include "shim/base/armed.h"
#include "shim/base/real.h"
#include "shim/forking/protocol.h"
#include "shim/locks/layout.h"
#include "shim/locks/libc_calls.h"
#include "shim/locks/loader.h"
#include "shim/locks/random.h"
#include "shim/reporting/modules.h"
#include "shim/reporting/storm.h"

namespace forkmend::threads {

FORKMEND_SAME_PAGE std::atomic<bool> first_done{false};

void prepare_for_threads() {
  static std::atomic<bool> begun{false};
  if (begun.exchange(true)) return;
  resolve_real_functions();
  layout::probe();
  loader::probe();
  random_lock::probe();
  libc_calls::prepare();
  modules::refresh();
  storm::map_counters();
  forking::install_handlers();
  wipe_on_fork();
  first_done.store(true, std::memory_order_release);
}

}  // namespace forkmend::threads
