#include "shim/reporting/lockup.h"

#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "shim/base/glob.h"
#include "shim/base/message.h"
#include "shim/base/own_stack.h"
#include "shim/base/settings.h"
#include "shim/base/signals.h"
#include "shim/base/spinlock.h"
#include "shim/forking/protocol.h"
#include "shim/locks/held.h"
#include "shim/locks/layout.h"
#include "shim/python/bridge.h"
#include "shim/reporting/event.h"
#include "shim/reporting/file.h"
#include "shim/reporting/fixes.h"
#include "shim/reporting/package.h"
#include "shim/reporting/storm.h"
#include "shim/reporting/utc.h"
#include "shim/runtimes/runtime.h"
#include "shim/version.h"

namespace forkmend {
namespace {

constexpr std::size_t kLivingStack = 32 * 1024;  // deep Python stacks need 20 KiB to main()
constexpr std::size_t kLostStack = 8 * 1024;     // an idle worker's stack is two or three KiB deep
constexpr int kMostLost = 16;  // of one runtime; lost_total says how many there are
constexpr std::size_t kEventSize = 512 * 1024;  // 16 lost stacks, a living one, 400 modules
constexpr std::size_t kBlockSize = 4000;        // below PIPE_BUF (4,096): whole in a pipe

// All of this is on a stack of the shim's own.
static_assert(2 * kEventSize <= own_stack::kSize);

// FNV-1a, 64 bits (Fowler, Noll, Vo): a fingerprint, not a defence.
class Hash {
 public:
  Hash& add(const void* data, std::size_t size) {
    for (std::size_t i = 0; i < size; i++)
      value_ = (value_ ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3u;
    return *this;
  }
  Hash& add(std::string_view text) { return add(text.data(), text.size()); }
  Hash& add(std::uint64_t n) { return add(&n, sizeof n); }
  // An address as what survives a restart: build id and offset.
  Hash& add_code(const void* address) {
    const modules::Module* m = modules::find(address);
    if (m == nullptr) return *this;
    return add(m->build_id, m->build_id_size)
        .add(reinterpret_cast<std::uintptr_t>(address) - m->bias);
  }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325u;
};

struct Report {
  Thread& waiter;
  const Judgement& judgement;
  std::uint64_t fingerprint = 0;
  std::uint32_t seen = 0;
  char id[7] = {};
  bool written = false;  // to the report file
  python::Frames python;
};

const char* verdict_name(Verdict v) { return v == Verdict::certain ? "certain" : "likely"; }

std::string_view thread_name(const Thread& t) { return t.name[0] != '\0' ? t.name : "unnamed"; }

void write_registers(Json& json, const Registers& registers) {
  const auto* values = reinterpret_cast<const std::uint64_t*>(&registers);
  json.open('{');
  for (int i = 0; i < kRegisterCount; i++) json.key(kRegisterNames[i]).address(values[i]);
  json.close('}');
}

// Registers and raw bytes; the caller adds "python" and closes.
void open_stack(Json& json, const Registers& registers, std::size_t size) {
  const auto* top = reinterpret_cast<const void*>(registers.sp);
  char bytes[kLivingStack];
  const std::size_t copied = sys::copy_memory(bytes, top, size);
  json.open('{').key("registers");
  write_registers(json, registers);
  json.field_address("base", top).key("bytes");
  json.base64(reinterpret_cast<const std::uint8_t*>(bytes), copied);
  json.field_bool("truncated", copied == size);
}

void write_origin(Json& json) {
  const forking::Origin& origin = forking::origin();
  Text<32> time;
  append_utc(time, origin.wall);
  json.key("fork").open('{').field("time", time.view()).field("mono_ns", origin.monotonic);
  json.field("parent_pid", origin.parent_pid).key("caller").open('[');
  if (origin.python_file[0] != '\0') {
    json.open('{').field("file", origin.python_file).field("line", origin.python_line);
    json.field("function", origin.python_function).close('}');
  }
  if (origin.caller != nullptr) json.open('{').field_address("addr", origin.caller).close('}');
  json.close(']').close('}');
}

void write_wait(Json& json, const Report& report) {
  const Thread& t = report.waiter;
  const Wait& wait = t.wait;
  const WaitCall call = wait.call.load();
  Text<32> since;
  append_utc(since, now(CLOCK_REALTIME) - (now() - wait.since));
  json.key("wait").open('{').field("tid", t.tid.load()).field("thread", thread_name(t));
  json.field("call", call_name(t.wait)).key("object").open('{');
  json.field_address("addr", wait.object).field("kind", object_kind(call));
  json.field_bool("pshared", false);  // shared objects are waited for whole and never judged
  const bool is_mutex = call == WaitCall::mutex_lock && layout::mutex_known();
  json.field("owner_tid",
             is_mutex ? layout::mutex_owner(static_cast<const pthread_mutex_t*>(wait.object)) : 0);
  json.close('}').field("since", since.view()).field("since_mono_ns", wait.since);
  json.key("timeout_ns").null().key("stack");
  open_stack(json, wait.registers, kLivingStack);
  json.key("python");
  python::write_frames(json, report.python);
  json.close('}').close('}');
}

// What a lost thread did at the fork: the call it was recorded in, or what the kernel said.
void append_activity(TextSpan& out, const Thread& t) {
  const WaitCall call = t.wait.call.load();
  if (call == WaitCall::none && t.libc_call.frame.load() != nullptr) {
    out.append(t.libc_call.function->name);
  } else if (call == WaitCall::none && t.activity.syscall >= 0) {
    out.format("system call {}", t.activity.syscall);
  } else {
    out.append(call_name(call));
  }
}

// A lost thread's stack is as it was at the fork, until a new thread of this process is given it.
bool stack_is_reused(const Thread& lost) {
  return threads::live_with_handle(lost.handle) != nullptr;
}

void write_lost_thread(Json& json, const Thread& t) {
  const WaitCall call = t.wait.call.load();
  json.open('{').field("generation", t.generation()).field("serial", t.serial());
  json.field("tid_in_parent", t.tid.load()).field("name", t.name);
  json.field("runtime", t.runtime != nullptr ? t.runtime->name : "none recognised");
  json.field("dso", t.runtime != nullptr && t.runtime->dso != nullptr ? t.runtime->dso->path : "");
  json.field_address("creator", t.creator);
  json.key("start_routine").address(reinterpret_cast<std::uintptr_t>(t.start));
  json.key("at_fork").open('{');
  Registers registers{};
  if (call != WaitCall::none) {
    json.field("wait", call_name(call)).field_address("object", t.wait.object);
    json.field("kind", object_kind(call));
    registers = t.wait.registers;
  } else {
    Text<32> wait;
    append_activity(wait, t);
    json.field("wait", wait.view()).key("object").address(t.activity.argument);
    json.field("kind", "none");
    registers.ip = t.activity.address;
    registers.sp = t.activity.sp;
  }
  json.key("stack");
  if (registers.sp != 0 && !stack_is_reused(t)) {
    open_stack(json, registers, kLostStack);
    json.key("python").open('[').close(']').close('}');
  } else {
    json.null();
  }
  json.close('}').key("held").open('[');
  for (int i = 0; i < t.held.count; i++) {
    json.open('{').field_address("addr", t.held.lock[i]);
    json.field("kind", locks::kind_name(t.held.kind[i])).close('}');
  }
  json.close(']').close('}');
}

// Whether this lost thread belongs into this report: of the runtime in question, or any where none
// is.
bool concerns(const Thread& t, const Judgement& judgement) {
  return judgement.runtime == nullptr || t.runtime == judgement.runtime || &t == judgement.culprit;
}

int write_lost(Json& json, const Judgement& judgement) {
  int total = 0, written = 0;
  json.key("lost").open('[');
  if (judgement.culprit != nullptr) {
    write_lost_thread(json, *judgement.culprit);
    written++;
  }
  threads::for_each_lost([&](Thread& t) {
    if (!concerns(t, judgement)) return true;
    total++;
    if (&t != judgement.culprit && written < kMostLost) {
      write_lost_thread(json, t);
      written++;
    }
    return true;
  });
  json.close(']').field("lost_total", total);
  return total - written;
}

void write_runtime(Json& json, const Runtime* r) {
  json.key("runtime").open('{');
  if (r == nullptr) {
    json.field("name", "none recognised").field("policy", "report").field("profile", "none");
    json.close('}');
    return;
  }
  json.field("name", r->name).field("dso", r->dso != nullptr ? r->dso->path : "");
  json.key("build_id");
  json.hex(r->dso != nullptr ? r->dso->build_id : nullptr,
           r->dso != nullptr ? r->dso->build_id_size : 0);
  json.field("policy", kPolicyNames[static_cast<int>(r->policy)]);
  json.field("profile", r->profile_origin);
  Text<32> version;
  if (r->dso != nullptr) package::version_of(r->dso->path, version);
  json.key("version");
  if (version.size() == 0) {
    json.null().key("measured").null();
  } else {
    json.string(version.view());
    json.field_bool("measured",
                    r->profile != nullptr && package::listed(r->profile->measured, version.view()));
  }
  json.close('}');
}

void write_modules(Json& json) {
  json.key("modules").open('[');
  for (int i = 0; i < modules::count(); i++) {
    const modules::Module& m = modules::at(i);
    json.open('{').field("path", m.path).key("lo").address(m.lo).key("hi").address(m.hi);
    json.key("bias").address(m.bias).key("build_id").hex(m.build_id, m.build_id_size).close('}');
  }
  json.close(']');
}

void write_settings(Json& json) {
  json.key("forkmend").open('{').field("version", FORKMEND_VERSION).key("settings").open('{');
  json.field("FORKMEND_POLICY", settings.policy).field("FORKMEND_PROFILES", settings.profiles);
  json.field("FORKMEND_DRAIN_MS", settings.drain / kMillisecond);
  json.field("FORKMEND_GRACE_MS", settings.grace / kMillisecond);
  json.field("FORKMEND_THRESHOLD_MS", settings.threshold / kMillisecond).close('}').close('}');
}

// FORKMEND_ORPHANS=abort: nobody may look at what an orphaned lock guards.
bool must_abort(const Judgement& judgement) {
  const bool orphan = strcmp(judgement.cause, "orphaned-lock") == 0 ||
                      strcmp(judgement.cause, "half-run-initialiser") == 0;
  return settings.on_lockup == OnLockup::abort || (settings.orphans == Orphans::abort && orphan);
}

const char* action_name(const Judgement& judgement) {
  if (must_abort(judgement)) return "abort";
  switch (settings.on_lockup) {
    case OnLockup::abort:
      return "abort";
    case OnLockup::exit:
      return "exit";
    default:
      return "report";
  }
}

void write_event(Report& report) {
  char buffer[kEventSize];
  TextSpan line(buffer, kEventSize);
  Json json(line);
  const Judgement& judgement = report.judgement;
  report_file::begin_event(json, "lockup");
  json.field("id", report.id).key("fingerprint");
  Text<20> fingerprint;
  fingerprint.format("{:016x}", report.fingerprint);
  json.string(fingerprint.view()).field("verdict", verdict_name(judgement.verdict));
  json.field("cause", judgement.cause);
  write_origin(json);
  write_wait(json, report);
  const int left_out = write_lost(json, judgement);
  json.key("evidence").open('[');
  for (int i = 0; i < judgement.count; i++)
    json.open('{')
        .field("code", judgement.code[i])
        .field("text", judgement.text[i].view())
        .close('}');
  json.close(']');
  fixes::write(json, judgement);
  write_runtime(json, judgement.runtime);
  json.field("action", action_name(judgement))
      .field("seen", report.seen)
      .key("truncated")
      .open('[');
  if (left_out > 0) json.string("lost");
  json.close(']');
  write_modules(json);
  write_settings(json);
  json.close('}');
  line.end_line();
  report.written = report_file::write_line(line.view(), true);
}

void append_place(MessageSpan& out, const void* address) {
  const modules::Module* m = modules::find(address);
  if (m == nullptr) {
    out.format("{}", address);
  } else {
    out.format("{}+{:#x}", base_name(m->path), reinterpret_cast<std::uintptr_t>(address) - m->bias);
  }
}

// "statsig's threads", or the one lost thread in question.
void append_who(MessageSpan& out, const Judgement& judgement) {
  if (judgement.culprit != nullptr && judgement.verdict == Verdict::certain) {
    out.format("\"{}\" (tid {})", thread_name(*judgement.culprit), judgement.culprit->tid.load());
  } else if (judgement.runtime != nullptr) {
    out.format("the threads of {}", judgement.runtime->name);
  } else {
    out.append("a lost thread");
  }
}

void write_one_line(const Report& report) {
  const Thread& t = report.waiter;
  Message<1024> line;
  line.format("forkmend[{}]: lockup {} {}: {} in {}", sys::getpid(), report.id,
              verdict_name(report.judgement.verdict), thread_name(t), call_name(t.wait));
  if (report.python.innermost.size() > 0) line.format(" ({})", report.python.innermost.view());
  line.append(" waits for ");
  append_who(line, report.judgement);
  line.format(", lost at fork from {}", forking::origin().parent_pid);
  if (report.written) line.format("; fix and stacks: forkmend report {}", report.id);
  if (report.seen > 3) line.format(" (seen {} times)", report.seen);
  line.write();
}

void write_block(const Report& report) {
  const Thread& t = report.waiter;
  const Judgement& judgement = report.judgement;
  const forking::Origin& origin = forking::origin();
  char buffer[kBlockSize];
  MessageSpan out(buffer, kBlockSize);
  Text<32> time;
  append_utc(time, now(CLOCK_REALTIME));
  out.format("forkmend: LOCKUP {} {}  [{}]  {}\n", verdict_name(judgement.verdict), report.id,
             sys::getpid(), time.view());
  out.format("  {} waits for ever in {}: ", thread_name(t), call_name(t.wait));
  append_who(out, judgement);
  out.format(" did not survive fork().\n\n");
  out.format("PROCESS   {}, forked from {}, generation {}\n", sys::getpid(), origin.parent_pid,
             threads::generation.load());
  if (origin.python_file[0] != '\0')
    out.format("          fork() called by {}:{} {}\n", origin.python_file, origin.python_line,
               origin.python_function);
  out.format("WAITING   {} (tid {}) for {} ms, no timeout: {} {} at ", thread_name(t), t.tid.load(),
             (now() - t.wait.since) / kMillisecond, call_name(t.wait), t.wait.object);
  append_place(out, t.wait.caller);
  if (report.python.innermost.size() > 0)
    out.format("\n          {}", report.python.innermost.view());
  int shown = 0;
  threads::for_each_lost([&](Thread& lost) {
    if (!concerns(lost, judgement)) return true;
    out.format("\n{:10}\"{}\" (tid {} of {}); at the fork: ", shown == 0 ? "LOST" : "",
               thread_name(lost), lost.tid.load(), origin.parent_pid);
    Text<32> activity;
    append_activity(activity, lost);
    out.format("{} ", activity.view());
    append_place(out, lost.wait.call.load() == WaitCall::none
                          ? reinterpret_cast<const void*>(lost.start)
                          : lost.wait.caller);
    return ++shown < 8;
  });
  for (int i = 0; i < judgement.count; i++)
    out.format("\n{:10}{}", i == 0 ? "EVIDENCE" : "", judgement.text[i].view());
  out.format("\nRUNTIME   ");
  if (judgement.runtime != nullptr) {
    out.format("{}: profile {}, policy {}", judgement.runtime->name,
               judgement.runtime->profile_origin,
               kPolicyNames[static_cast<int>(judgement.runtime->policy)]);
  } else {
    out.append("none recognised: policy report");
  }
  fixes::append(out, judgement);
  if (report.written) out.format("\nMORE      forkmend report {}", report.id);
  out.format("\n").write();
}

bool stderr_is_terminal() {
  termios unused;
  return sys::call(SYS_ioctl, 2, TCGETS, sys::arg(&unused)) == 0;
}

void identify(Report& report) {
  const Thread& t = report.waiter;
  python::read_frames(report.python);
  Hash hash;
  hash.add(verdict_name(report.judgement.verdict)).add(call_name(t.wait));
  hash.add_code(t.wait.caller).add(report.python.hash);
  if (report.judgement.runtime != nullptr) hash.add(report.judgement.runtime->name);
  if (report.judgement.culprit != nullptr)
    hash.add_code(reinterpret_cast<const void*>(report.judgement.culprit->start));
  report.fingerprint = hash.value();
  report.seen = storm::count(report.fingerprint);
  const std::uint64_t unique = Hash()
                                   .add(report.fingerprint)
                                   .add(static_cast<std::uint64_t>(now()))
                                   .add(static_cast<std::uint64_t>(sys::getpid()))
                                   .value();
  Text<sizeof report.id> id;
  id.format("{:06x}", unique & 0xffffff);
  copy_text(report.id, id.view());
}

// abort() takes a lock of libc's that may be orphaned, and runs handlers: the signal is sent as is.
[[noreturn]] void die_by_abort() {
  const unsigned long mask = sys::signal_bit(SIGABRT);
  sys::KernelSigaction action{};
  action.handler = SIG_DFL;
  sys::call(SYS_rt_sigaction, SIGABRT, sys::arg(&action), 0, sizeof mask);
  sys::call(SYS_rt_sigprocmask, SIG_UNBLOCK, sys::arg(&mask), 0, sizeof mask);
  sys::call(SYS_tgkill, sys::getpid(), sys::gettid(), SIGABRT);
  for (;;) sys::call(SYS_exit_group, 128 + SIGABRT);
}

void act(const Judgement& judgement) {
  if (must_abort(judgement)) die_by_abort();
  if (settings.on_lockup == OnLockup::exit) sys::call(SYS_exit_group, settings.exit_code);
}

void report_on_own_stack(Thread& t, const Judgement& judgement) {
  Report report{t, judgement, 0, 0, {}, false, {}};
  identify(report);
  if (!storm::is_said(report.seen)) return;
  write_event(report);
  const bool block = report.seen == 1 && stderr_is_terminal();
  if (!block) write_one_line(report);
  // Where there is no file, all that is known goes to stderr.
  if (block || (report.seen == 1 && !report.written)) write_block(report);
}

// In a few hundred bytes of the program's stack, which may be all that is left of it.
void report_without_memory(const Thread& t, const Judgement& judgement) {
  Message<256> line;  // without fmt, which needs more
  line.append("forkmend: lockup ").append(verdict_name(judgement.verdict)).append(": ");
  line.append(thread_name(t)).append(" in ").append(call_name(t.wait.call.load()));
  line.append(" waits for a thread that was lost at fork; no memory for a report");
  line.write();
}

}  // namespace

void report_lockup(Thread& t, const Judgement& judgement) {
  spin::check_none_held();
  if (!own_stack::run_large([&] { report_on_own_stack(t, judgement); }))
    report_without_memory(t, judgement);
  act(judgement);
}

void report_opened(const void* lock, const char* kind, const Thread& owner, const char* when) {
  spin::check_none_held();
  Hash hash;
  hash.add("lock-opened").add(kind).add(when).add_code(owner.wait.caller);
  hash.add_code(reinterpret_cast<const void*>(owner.start));
  if (!storm::is_said(storm::count(hash.value()))) return;
  own_stack::run_large([&] {
    if (settings.log == Log::info)
      say("opened {} {}: \"{}\" (tid {}) did not survive fork; what it guards may be half written",
          kind, lock, thread_name(owner), owner.tid.load());
    char buffer[kEventSize];
    TextSpan line(buffer, kEventSize);
    Json json(line);
    report_file::begin_event(json, "lock-opened");
    write_origin(json);
    json.key("object").open('{').field_address("addr", lock).field("kind", kind).close('}');
    json.field("when", when).key("owner");
    write_lost_thread(json, owner);
    write_modules(json);
    json.close('}');
    line.end_line();
    report_file::write_line(line.view());
  });
}

}  // namespace forkmend
