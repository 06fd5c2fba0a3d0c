#include "shim/reporting/event.h"

#include "shim/base/glob.h"
#include "shim/base/settings.h"
#include "shim/forking/gate.h"
#include "shim/reporting/file.h"
#include "shim/reporting/json.h"
#include "shim/reporting/modules.h"
#include "shim/runtimes/runtime.h"
#include "shim/threads/kernel_state.h"

namespace forkmend {
namespace {

// Of a value, and of what is wrong with a file: the end of the line says what to do.
constexpr std::size_t kShown = 100;
constexpr std::size_t kShownProblem = 400;
constexpr int kMostThreads = 16;  // a pool that misses the deadline does so for one reason

// "in pthread_mutex_lock", "running libfoo.so+0x1234", "in system call 0 of libc.so.6+0x…".
void describe_activity(const Thread& t, TextSpan& out) {
  const WaitCall call = t.wait.call.load();
  if (call != WaitCall::none) {
    out.format("in {}", call_name(call));
    if (t.held.count > 0) out.format(", holding {} lock(s)", t.held.count);
    return;
  }
  const KernelActivity activity = kernel_activity(t.tid.load());
  if (activity.syscall < 0) {
    out.append("running");
  } else {
    out.format("in system call {}", activity.syscall);
  }
  if (const auto* module = modules::find(reinterpret_cast<const void*>(activity.address)))
    out.format(" of {}+{:#x}", base_name(module->path), activity.address - module->bias);
  if (t.held.count > 0) out.format(", holding {} lock(s)", t.held.count);
}

// "NAME=VALUE\0" after another, as in /proc/PID/environ.
bool has_said(std::string_view environment, std::string_view variable, std::string_view value) {
  bool same = false, loaded = false;
  while (!environment.empty()) {
    const std::size_t end = environment.find('\0');
    const std::string_view entry = environment.substr(0, end);
    environment = end == std::string_view::npos ? std::string_view() : environment.substr(end + 1);
    if (entry.substr(0, 11) == "LD_PRELOAD=" && entry.find("libforkmend") != std::string_view::npos)
      loaded = true;
    if (entry.size() == variable.size() + 1 + value.size() &&
        entry.substr(0, variable.size()) == variable && entry.substr(variable.size() + 1) == value)
      same = true;
  }
  return same && loaded;
}

// The same variable with the same value in the parent's environment, and the shim in it: the parent
// has said it. A shell that starts a hundred commands must not say it a hundred times.
bool parent_has_said(std::string_view variable, std::string_view value) {
  Text<64> path;
  path.format("/proc/{}/environ", sys::getppid()).append('\0');
  const long fd = sys::open(path.data(), O_RDONLY);
  if (fd < 0) return false;
  char environment[65536];
  std::size_t size = 0;
  for (long n;
       (n = sys::read(static_cast<int>(fd), environment + size, sizeof environment - size)) > 0;)
    size += static_cast<std::size_t>(n);
  sys::close(static_cast<int>(fd));
  return has_said({environment, size}, variable, value);
}

// One event in the report file: write(json) adds its fields.
template <class Write>
void write_event(std::string_view kind, Write&& write) {
  own_stack::run([&] {
    char buffer[16384];
    TextSpan line(buffer, sizeof buffer);
    Json json(line);
    report_file::begin_event(json, kind);
    write(json);
    json.close('}');
    line.end_line();
    report_file::write_line(line.view());
  });
}

const char* cut(std::string_view value) { return value.size() > kShown ? "..." : ""; }

}  // namespace

void report_setting(std::string_view where, std::string_view value, std::string_view item,
                    std::string_view expected) {
  if (threads::generation.load() != 0) return;
  own_stack::run_large([&] {
    if (parent_has_said(where, value)) return;
    Message<1024> line;
    line.format("forkmend: {}", where);
    if (!value.empty()) line.format("={}{}", value.substr(0, kShown), cut(value));
    if (!item.empty() && item != value)
      line.format(": \"{}{}\"", item.substr(0, kShown), cut(item));
    line.format(": expected {}; it is ignored", expected).write();
  });
}

void report_file_problem(std::string_view where, std::string_view text) {
  if (threads::generation.load() != 0) return;
  own_stack::run([&] {
    Message<1024> line;
    line.format("forkmend: {}: {}{}; it is ignored", where, text.substr(0, kShownProblem),
                text.size() > kShownProblem ? "..." : "");
    line.write();
  });
}

void report_off(std::string_view feature, std::string_view reason) {
  write_event("off", [&](Json& json) { json.field("feature", feature).field("reason", reason); });
  if (settings.log == Log::info) say("{} off: {}", feature, reason);
}

void report_drain_missed(const Runtime& runtime, Nanoseconds waited, Nanoseconds allowed) {
  // Ten in a row say as much as ten thousand: after that at 100, 1,000 …
  const auto misses = runtime.misses.load();
  const bool written = misses < 10 || misses % 100 == 0;
  if (!written && settings.log != Log::info) return;
  own_stack::run([&] {
    char buffer[16384];
    TextSpan line(buffer, sizeof buffer);
    Json json(line);
    report_file::begin_event(json, "drain-missed");
    json.field("runtime", runtime.name).field("waited_ns", waited).field("allowed_ns", allowed);
    json.field("misses", misses + 1);
    json.key("threads").open('[');
    int count = 0;
    threads::for_each_live([&](Thread& t) {
      if (t.runtime != &runtime || !t.registered || &t == threads::self()) return true;
      const Identity seen = t.state.identity();
      if (!threads::is_live(seen) || seen.state() == ThreadState::parked) return true;
      Text<192> doing;
      describe_activity(t, doing);
      const char letter = kernel_state_letter(t.tid.load());
      json.open('{').field("tid", t.tid.load()).field("name", t.name);
      json.field("state", std::string_view(&letter, 1)).field("doing", doing.view()).close('}');
      if (settings.log == Log::info)
        say("fork did not wait longer than {} ms for {}: thread {} \"{}\" was {}",
            allowed / kMillisecond, runtime.name, t.tid.load(), t.name, doing.view());
      return ++count < kMostThreads;
    });
    json.close(']').close('}');
    line.end_line();
    if (written) report_file::write_line(line.view());
  });
}

void report_exit_freed(const Thread& parked, const void* object, std::string_view kind,
                       std::string_view action) {
  write_event("exit-freed", [&](Json& json) {
    json.field("tid", parked.tid.load()).field("name", parked.name).field("kind", kind);
    json.field_address("object", object).field("action", action);
    json.field("runtime", parked.runtime != nullptr ? parked.runtime->name : "");
  });
  if (settings.log == Log::info)
    say("exit waited for a {} of thread {} \"{}\", which was parked because the interpreter is "
        "gone: "
        "{}",
        kind, parked.tid.load(), parked.name, action);
}

void report_stop_missed(const Runtime& runtime, std::string_view step, Nanoseconds waited,
                        Nanoseconds allowed) {
  write_event("stop-missed", [&](Json& json) {
    json.field("runtime", runtime.name).field("step", step).field("waited_ns", waited);
    json.field("allowed_ns", allowed);
  });
  if (settings.log == Log::info)
    say("exit did not wait longer than {} ms for {}: {}", allowed / kMillisecond, runtime.name,
        step == "stop" ? "its stop callback did not return" : "its threads did not end");
}

void report_respawn_failed(Runtime& runtime, int error) {
  // Each enqueue tries again: ten in a row say as much as ten thousand.
  const int before = runtime.failures.fetch_add(1);
  if (before >= 10 && before % 100 != 0) return;
  write_event("respawn-failed",
              [&](Json& json) { json.field("runtime", runtime.name).field("errno", error); });
  if (settings.log == Log::info)
    say("{} could not start its threads (errno {}); the next enqueue tries again", runtime.name,
        error);
}

void report_not_resumed(const Runtime& runtime, const Thread* thread, std::string_view reason) {
  write_event("not-resumed", [&](Json& json) {
    json.field("runtime", runtime.name).field("thread", thread != nullptr ? thread->name : "");
    json.field("tid_in_parent", thread != nullptr ? thread->tid.load() : 0);
    json.field("reason", reason);
  });
  if (settings.log == Log::info)
    say("{} is not resumed: thread \"{}\": {}", runtime.name, thread != nullptr ? thread->name : "",
        reason);
}

}  // namespace forkmend
