#include "shim/reviving/quiesce.h"

#include <errno.h>

#include "shim/base/settings.h"
#include "shim/reporting/event.h"
#include "shim/runtimes/dynamic.h"

namespace forkmend::reviving {
namespace {

constexpr const char* kPause = "omp_pause_resource_all";
// omp_pause_resource_t of OpenMP 5.0, table 3.4: omp_pause_hard would give up threadprivate data.
constexpr int kPauseSoft = 1;

}  // namespace

void prepare_quiesce(Runtime& runtime) {
  if (runtime.dso != nullptr) {
    const dynamic::Image image(*runtime.dso);
    runtime.pause = reinterpret_cast<int (*)(int)>(image.find(kPause));
  }
  if (runtime.pause != nullptr) return;
  Text<160> reason;
  reason.format("{} has no omp_pause_resource_all, which came with GCC 9", runtime.name);
  report_off("quiesce", reason.view());
  runtime.policy = Policy::report;
}

void quiesce() {
  runtimes::for_each([](Runtime& runtime) {
    if (runtime.policy != Policy::quiesce || runtime.live.load(std::memory_order_relaxed) == 0)
      return;
    const int error = errno;
    if (runtime.pause(kPauseSoft) != 0) {
      static std::atomic<bool> said{false};
      if (!said.exchange(true))
        report_off("quiesce", "fork inside of a parallel region: its threads cannot be paused");
    } else if (settings.log == Log::info) {
      say("paused {} for a fork", runtime.name);
    }
    errno = error;
  });
}

}  // namespace forkmend::reviving
