#include "shim/base/doctor.h"

#include <gnu/libc-version.h>

#include <string_view>

#include "shim/base/armed.h"
#include "shim/base/real.h"
#include "shim/base/syscall.h"
#include "shim/base/text.h"
#include "shim/locks/layout.h"
#include "shim/version.h"

namespace forkmend::doctor {
namespace {

void say_line(std::string_view key, bool ok, std::string_view reason) {
  Text<256> line;
  line.format("forkmend doctor: {}: {}", key, ok ? "ok" : "off");
  if (!reason.empty()) line.append(' ').append(reason);
  line.end_line();
  sys::write(1, line.data(), line.size());
}

}  // namespace

bool requested(char** environment) {
  for (; environment != nullptr && *environment != nullptr; environment++) {
    if (std::string_view(*environment) == "FORKMEND_DOCTOR=1") return true;
  }
  return false;
}

void run() {
  layout::probe();
  wipe_on_fork();
  say_line("version", true, FORKMEND_VERSION);
  say_line("libc", true, gnu_get_libc_version());
  say_line("active", true, "");
  say_line("mutex layout", layout::mutex_known(), layout::mutex_known() ? "" : "not as known");
  say_line("condition variable layout", layout::cond_known(),
           layout::cond_known() ? "" : "not as known");
  say_line("semaphore layout", layout::sem_known(), layout::sem_known() ? "" : "not as known");
  say_line("raw forks", wipes_on_fork.load(),
           wipes_on_fork.load() ? "" : "the kernel has no MADV_WIPEONFORK (Linux 4.14)");
  sys::call(SYS_exit_group, 0);
  __builtin_unreachable();
}

}  // namespace forkmend::doctor
