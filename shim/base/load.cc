#include "shim/base/load.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "shim/base/armed.h"
#include "shim/base/doctor.h"
#include "shim/base/glob.h"
#include "shim/base/real.h"
#include "shim/base/settings.h"
#include "shim/base/text.h"
#include "shim/forking/protocol.h"
#include "shim/python/bridge.h"
#include "shim/reporting/event.h"
#include "shim/reporting/process.h"
#include "shim/threads/thread.h"
#include "shim/version.h"

// What interpose/vfork.S and interpose/syscall.S jump through.
extern "C" {
FORKMEND_SAME_PAGE __attribute__((visibility("hidden"))) pid_t (*forkmend_real_vfork)();
FORKMEND_SAME_PAGE __attribute__((visibility("hidden"))) int forkmend_vforks;
FORKMEND_SAME_PAGE __attribute__((visibility("hidden"))) forkmend::SyscallFn forkmend_real_syscall;

// Present in a process that a sanitizer watches. Weak references, not dlsym: one that fails in a
// constructor would allocate.
void __asan_init() __attribute__((weak));
void __tsan_init() __attribute__((weak));
void __msan_init() __attribute__((weak));
void __hwasan_init() __attribute__((weak));
}

namespace forkmend {

FORKMEND_SAME_PAGE std::atomic<Activity> activity{Activity::not_loaded};

namespace {

const char* sanitizer() {
  if (&__asan_init != nullptr) return "AddressSanitizer";
  if (&__tsan_init != nullptr) return "ThreadSanitizer";
  if (&__msan_init != nullptr) return "MemorySanitizer";
  if (&__hwasan_init != nullptr) return "HWAddressSanitizer";
  return nullptr;
}

bool excluded_by_only() {
  if (settings.only[0] == '\0') return false;
  // A script is known by its own name (AT_EXECFN) and by its interpreter's.
  const auto* started = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
  Text<448> executable;
  process::executable(executable);
  bool listed = false;
  for_each_item(settings.only, [&](std::string_view item) {
    listed = listed || glob_match(item, base_name(started != nullptr ? started : "")) ||
             glob_match(item, base_name(executable.view()));
  });
  return !listed;
}

// FORKMEND_INHERIT=0: programs that this one starts run without the shim. The entry is edited in
// place, so that nothing is allocated and getenv sees the same string.
void remove_from_preload(char** environment) {
  constexpr std::string_view kVariable = "LD_PRELOAD=";
  for (char** entry = environment; *entry != nullptr; entry++) {
    if (std::string_view(*entry).substr(0, kVariable.size()) != kVariable) continue;
    char* out = *entry + kVariable.size();
    bool first = true;
    for (const char* in = out; *in != '\0';) {
      const std::size_t size = strcspn(in, ": ");
      const std::string_view item(in, size);
      in += size;
      while (*in == ':' || *in == ' ') in++;
      if (glob_match("libforkmend*", base_name(item))) continue;
      if (!first) *out++ = ':';
      memmove(out, item.data(), item.size());
      out += item.size();
      first = false;
    }
    *out = '\0';
  }
}

bool decide(char** environment) {
  read_environment(environment, report_setting);
  if (settings.off || excluded_by_only()) return false;
  if (const char* name = sanitizer()) {
    Message<128> line;
    line.format("forkmend: off in this process: it runs under {}", name).write();
    return false;
  }
  return true;
}

__attribute__((constructor)) void constructor() { load(); }

}  // namespace

void load() {
  FORKMEND_SAME_PAGE static std::atomic<bool> begun{false};
  if (begun.exchange(true)) return;
  const int error = errno;
  forkmend_real_vfork = reinterpret_cast<pid_t (*)()>(dlsym(RTLD_NEXT, "vfork"));
  forkmend_real_syscall = reinterpret_cast<SyscallFn>(dlsym(RTLD_NEXT, "syscall"));
  if (look_ups_allocate()) resolve_real_functions();
  // Under AT_SECURE whoever starts the program must not change what it does: no setting is read,
  // nothing is written, everything is forwarded.
  const bool active = getauxval(AT_SECURE) == 0 && decide(environ);
  if (active) {
    threads::adopt_main_thread();
    forking::catch_up();
    if (!settings.inherit) remove_from_preload(environ);
  }
  activity.store(active ? Activity::active : Activity::inert, std::memory_order_release);
  set_busy(Busy::unresolved, false);
  if (active) python::install();
  if (active && doctor::requested(environ)) doctor::run();
  errno = error;
}

}  // namespace forkmend
