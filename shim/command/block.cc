#include "shim/command/block.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace forkmend::command {
namespace {

constexpr std::size_t kWidth = 100;
constexpr std::size_t kLabel = 10;           // the column in which a section's text starts
constexpr std::size_t kWaitFrames = 64;      // of the waiting thread: what a person can read
constexpr std::size_t kLostFrames = 16;      // of each lost thread
constexpr std::size_t kLostGroups = 6;       // threads that differ; pools are one group
constexpr std::size_t kFunctionColumn = 44;  // longer names push the rest of their row
constexpr std::size_t kFileColumn = 32;
constexpr std::size_t kSettingColumn = 40;

std::string quoted(const std::string& name) {
  return name.empty() ? "unnamed" : fmt::format("\"{}\"", printable(name));
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// "14:02:11.350Z" of "2026-11-21T14:02:11.350Z", if it is the same day.
std::string short_time(const std::string& time, const std::string& reference) {
  const std::size_t at = time.find('T');
  if (at == std::string::npos || time.substr(0, at) != reference.substr(0, at)) return time;
  return time.substr(at + 1);
}

double seconds_between(std::int64_t from, std::int64_t to) {
  return static_cast<double>(to) / 1e9 - static_cast<double>(from) / 1e9;
}

// Gathers sections: a label, then lines beneath each other.
class Sections {
 public:
  explicit Sections(const Style& style) : style_(style) {}

  void text(std::string_view label, std::string_view line) {
    for (std::string& part : wrapped(line, kWidth - kLabel)) {
      row(label, part);
      label = "";
    }
  }
  void row(std::string_view label, std::string_view line) {
    const std::string head = fmt::format("{:<{}}", label, kLabel);
    out_ += label.empty() ? head : style_.bold(head);
    out_ += line;
    while (!out_.empty() && out_.back() == ' ') out_.pop_back();
    out_ += '\n';
  }
  void raw(std::string_view line) { out_ += fmt::format("{}\n", line); }
  std::string take() { return std::move(out_); }

 private:
  const Style& style_;
  std::string out_;
};

std::string who_waits(const Event& event) {
  if (event.wait_thread.empty()) return fmt::format("thread {}", event.wait_tid);
  if (event.wait_thread == "main thread") return "the main thread";
  return event.wait_thread == "MainThread" ? event.wait_thread : quoted(event.wait_thread);
}

// What the program called in Python: the outermost frame of the standard library.
std::string python_call(const NamedStack& stack) {
  if (stack.python.empty() || stack.your_python == 0) return {};
  const std::size_t index = stack.your_python < 0 ? stack.python.size() - 1
                                                  : static_cast<std::size_t>(stack.your_python) - 1;
  const PythonFrame& frame = stack.python[index];
  if (frame.function.find('.') != std::string::npos) return frame.function;
  std::string module = base_name(frame.file);
  module = module.substr(0, module.rfind(".py"));
  return fmt::format("{}.{}", module, frame.function);
}

std::string object_name(const Event& event, const Analysis& analysis) {
  if (!event.object) return {};
  const std::string kind = event.object->kind.empty() ? "object" : event.object->kind;
  if (analysis.object && !analysis.object->name.empty()) {
    return fmt::format("{} `{}`", kind, analysis.object->name);
  }
  return {};
}

bool holds(const LostThread& lost, const Event& event) {
  return event.object && std::any_of(lost.held.begin(), lost.held.end(), [&](const HeldLock& held) {
           return held.addr != 0 && held.addr == event.object->addr;
         });
}

bool is_orphaned(const Event& event) {
  return std::any_of(
             event.evidence.begin(), event.evidence.end(),
             [](const Evidence& item) { return item.code.find("orphan") != std::string::npos; }) ||
         std::any_of(event.lost.begin(), event.lost.end(),
                     [&](const LostThread& lost) { return holds(lost, event); });
}

std::string lost_name(const Event& event, const LostThread& lost) {
  if (!lost.name.empty()) return quoted(lost.name);
  if (lost.tid_in_parent == 0) return "an unnamed thread";
  return fmt::format("thread {} of {}", lost.tid_in_parent, event.fork_parent);
}

// The lost threads as the sentence names them, and its verb's number: the one that is to blame, if
// that is known, else all.
std::string lost_names(const Event& event, bool& plural) {
  const LostThread& first = event.lost.front();
  const bool blamed = event.verdict == "certain" && !event.cause.empty();
  plural = event.lost_total > 1 && !blamed;
  if (!plural) return lost_name(event, first);
  const bool one_runtime =
      !first.runtime.empty() &&
      std::all_of(event.lost.begin(), event.lost.end(),
                  [&](const LostThread& lost) { return lost.runtime == first.runtime; });
  if (one_runtime)
    return fmt::format("{} threads of {}", event.lost_total, printable(first.runtime));
  return fmt::format("{} threads, {} among them", event.lost_total, lost_name(event, first));
}

std::string runtime_line(const Event& event) {
  if (!event.has_runtime) {
    return fmt::format("none recognised{}{}", event.runtime_policy.empty() ? "" : ": policy ",
                       printable(event.runtime_policy));
  }
  std::string out = printable(event.runtime_name);
  if (!event.runtime_dso.empty())
    out += fmt::format(" ({})", printable(base_name(event.runtime_dso)));
  if (event.runtime_profile == "built in") {
    out += ": built-in profile";
  } else if (event.runtime_profile.empty() || event.runtime_profile == "none") {
    out += ": no profile";
  } else {
    out += fmt::format(": profile {}", printable(event.runtime_profile));
  }
  if (!event.runtime_policy.empty()) {
    out += fmt::format(", policy {}", printable(event.runtime_policy));
  }
  if (!event.runtime_version.empty()) {
    out += fmt::format("; version {}", printable(event.runtime_version));
  }
  if (event.runtime_measured) {
    out += *event.runtime_measured ? ", measured" : ", which was not measured";
  }
  return out;
}

std::string object_line(const Event& event, const Analysis& analysis) {
  const WaitedFor& object = *event.object;
  std::string out;
  if (analysis.object) {
    const DataSymbol& symbol = *analysis.object;
    if (!symbol.name.empty()) {
      out = fmt::format("`{}`", symbol.name);
      if (symbol.offset != 0) out += fmt::format("+{:#x}", symbol.offset);
      out += " ";
    }
    out += place(symbol.module, symbol.in_module);
    if (!symbol.section.empty()) out += fmt::format(" ({})", symbol.section);
  } else if (!analysis.object_frame.empty()) {
    out = fmt::format("{:#x}, on the stack of the waiting thread: a local of {}", object.addr,
                      analysis.object_frame);
  } else {
    out = fmt::format("{:#x}", object.addr);
    if (!event.modules.empty() && event.wait_stack && !event.wait_stack->bytes.empty()) {
      out += ", in no module and not on this stack: on the heap or mapped";
    }
  }
  out += fmt::format(": {}", object.kind.empty() ? "object" : object.kind);
  if (object.pshared) out += *object.pshared ? ", shared between processes" : ", private";
  if (object.owner_tid != 0) out += fmt::format(", owner tid {}", object.owner_tid);
  return printable(out);
}

void add_process(Sections& out, const Event& event, const Analysis& analysis) {
  std::string line = fmt::format("{}", event.process.pid);
  const int parent = event.fork_parent != 0 ? event.fork_parent : event.process.ppid;
  if (parent != 0) line += fmt::format(", forked from {}", parent);
  if (!event.fork_time.empty()) {
    line += fmt::format(" at {}", printable(short_time(event.fork_time, event.time)));
  }
  if (event.fork_mono_ns != 0 && event.mono_ns >= event.fork_mono_ns) {
    line +=
        fmt::format(" ({} before)", duration(seconds_between(event.fork_mono_ns, event.mono_ns)));
  }
  line += fmt::format(", generation {}", event.process.generation);
  out.text("PROCESS", line);
  if (!event.process.exe.empty()) {
    out.text("", fmt::format("{}{}", printable(event.process.exe),
                             event.host.empty() ? "" : " on " + printable(event.host)));
  }
  for (std::size_t i = 0; i < analysis.callers.size() && i < 4; ++i) {
    out.text("", fmt::format("{} {}", i == 0 ? "fork() called by" : "              by",
                             printable(analysis.callers[i])));
  }
}

void add_waiting(Sections& out, const Event& event, const Analysis& analysis, const Style& style) {
  std::string line = event.wait_thread.empty() ? "a thread" : printable(event.wait_thread);
  line += fmt::format(" (tid {})", event.wait_tid);
  if (event.wait_since_mono_ns != 0 && event.mono_ns >= event.wait_since_mono_ns) {
    line +=
        fmt::format(" for {}", duration(seconds_between(event.wait_since_mono_ns, event.mono_ns)));
  }
  line += event.wait_timeout_ns
              ? fmt::format(", time-out {}",
                            duration(static_cast<double>(*event.wait_timeout_ns) / 1e9))
              : ", no timeout";
  if (!event.wait_call.empty()) line += fmt::format(": {}", printable(event.wait_call));
  if (event.object && event.object->addr != 0) line += fmt::format(" {:#x}", event.object->addr);
  out.text("WAITING", line);
  for (const std::string& row : frame_rows(analysis.wait, kWaitFrames, style)) out.row("", row);
  if (event.object && event.object->addr != 0) out.text("OBJECT", object_line(event, analysis));
}

// Threads of one pool look alike: they are told of once.
struct LostGroup {
  std::vector<std::size_t> members;
  std::vector<std::string> rows;
};

std::string lost_key(const LostThread& lost, const Analysis::Lost& found,
                     const std::vector<std::string>& rows) {
  std::string key = fmt::format("{}|{}|{}|{}|{}", lost.name, lost.runtime, found.creator,
                                found.start_routine, lost.at_fork);
  for (const HeldLock& held : lost.held) key += fmt::format("|{:x}", held.addr);
  for (const std::string& row : rows) key += "|" + row;
  return key;
}

std::string lost_line(const Event& event, const Analysis& analysis, const LostGroup& group) {
  const LostThread& lost = event.lost[group.members.front()];
  const Analysis::Lost& found = analysis.lost[group.members.front()];
  std::string tids;
  for (std::size_t i = 0; i < group.members.size() && i < 8; ++i) {
    tids += fmt::format("{}{}", i == 0 ? "" : ", ", event.lost[group.members[i]].tid_in_parent);
  }
  if (group.members.size() > 8) tids += ", ...";
  std::string out =
      group.members.size() == 1
          ? fmt::format("{} (tid {}", quoted(lost.name), tids)
          : fmt::format("{} threads {} (tids {}", group.members.size(), quoted(lost.name), tids);
  if (event.fork_parent != 0 && std::int64_t{lost.generation} + 1 == event.process.generation) {
    out += fmt::format(" of {}", event.fork_parent);
  }
  out += ")";
  if (!lost.runtime.empty()) out += fmt::format(" of {}", printable(lost.runtime));
  // Both are libstdc++'s own for every std::thread, and say nothing else.
  if (found.creator.find("std::thread::_M_start_thread") == 0) {
    out += ", a std::thread";
  } else {
    if (!found.creator.empty()) out += fmt::format(", started by {}", printable(found.creator));
    if (!found.start_routine.empty()) {
      out += fmt::format(", runs {}", printable(found.start_routine));
    }
  }
  if (!lost.at_fork.empty()) {
    out += fmt::format("; at the fork: {}", printable(lost.at_fork));
    if (lost.at_fork_object != 0) {
      out += fmt::format(" {}{}{:#x}", printable(lost.at_fork_kind),
                         lost.at_fork_kind.empty() ? "" : " ", lost.at_fork_object);
    }
  }
  if (found.stack && !group.rows.empty()) out += ", in";
  return out;
}

void add_lost(Sections& out, const Event& event, const Analysis& analysis, const Style& style) {
  std::vector<std::pair<std::string, LostGroup>> groups;
  for (std::size_t i = 0; i < event.lost.size(); ++i) {
    std::vector<std::string> rows;
    if (analysis.lost[i].stack) {
      NamedStack stack = *analysis.lost[i].stack;
      if (!stack.python.empty()) stack.frames.clear();
      rows = frame_rows(stack, kLostFrames, style);
    }
    std::string key = lost_key(event.lost[i], analysis.lost[i], rows);
    auto found = std::find_if(groups.begin(), groups.end(),
                              [&](const auto& group) { return group.first == key; });
    if (found == groups.end()) {
      LostGroup group;
      group.rows = std::move(rows);
      groups.emplace_back(std::move(key), std::move(group));
      found = std::prev(groups.end());
    }
    found->second.members.push_back(i);
  }
  std::string_view label = "LOST";
  std::size_t shown = 0;
  for (std::size_t i = 0; i < groups.size() && i < kLostGroups; ++i) {
    const LostGroup& group = groups[i].second;
    out.text(label, lost_line(event, analysis, group));
    label = "";
    for (const std::string& row : group.rows) out.row("", row);
    for (const HeldLock& held : event.lost[group.members.front()].held) {
      const bool waited = event.object && held.addr == event.object->addr;
      out.text("", fmt::format("held {} {:#x}{}", held.kind.empty() ? "lock" : printable(held.kind),
                               held.addr, waited ? ", which the wait is for" : ""));
    }
    shown += group.members.size();
  }
  const auto total = static_cast<std::size_t>(
      std::max<std::int64_t>(event.lost_total, static_cast<std::int64_t>(event.lost.size())));
  if (total > shown) {
    out.text(label, fmt::format("{}{}", shown == 0 ? "" : "and ",
                                counted(total - shown, shown == 0 ? "thread" : "more thread")));
  }
}

void add_fixes(Sections& out, const Event& event, const char* kind, const char* label) {
  std::size_t width = 0;
  for (const Fix& fix : event.fixes) {
    if (fix.kind == kind && fix.setting.size() <= kSettingColumn) {
      width = std::max(width, fix.setting.size());
    }
  }
  std::string head = label;
  for (const Fix& fix : event.fixes) {
    if (fix.kind != kind) continue;
    std::string setting = width > 0 ? fmt::format("{:<{}}   ", printable(fix.setting), width) : "";
    std::string text = printable(fix.text);
    if (!fix.risk.empty()) text += fmt::format("; risk: {}", printable(fix.risk));
    for (const std::string& line :
         wrapped(text, kWidth - kLabel - std::min(setting.size(), kSettingColumn + 3))) {
      out.row(head, setting + line);
      head.clear();
      setting.assign(std::min(setting.size(), kSettingColumn + 3), ' ');
    }
  }
}

// How many frames are worth showing: what lies beneath the program's own outermost frame is how
// every thread starts. A stack of library frames alone is shown for what it is, but not beneath
// Python frames.
std::size_t shown_frames(const NamedStack& stack) {
  constexpr std::string_view kStarts[] = {"_start",
                                          "__libc_start_main",
                                          "__libc_start_call_main",
                                          "start_thread",
                                          "__clone3",
                                          "clone3",
                                          "__clone",
                                          "clone"};
  std::size_t count = stack.frames.size();
  if (!stack.ended.empty()) return count;
  while (count > 0 && std::find(std::begin(kStarts), std::end(kStarts),
                                stack.frames[count - 1].function) != std::end(kStarts)) {
    --count;
  }
  std::size_t own = count;
  while (own > 0 && stack.frames[own - 1].library) --own;
  return own > 0 || !stack.python.empty() ? own : count;
}

}  // namespace

std::vector<std::string> frame_rows(const NamedStack& stack, std::size_t limit,
                                    const Style& style) {
  struct Row {
    std::string what, where, module;
    bool yours;
  };
  std::vector<Row> rows;
  std::size_t what_width = 0;
  std::size_t where_width = 0;
  const auto add = [&](Row row) {
    if (row.what.size() <= kFunctionColumn) what_width = std::max(what_width, row.what.size());
    if (row.where.size() <= kFileColumn) where_width = std::max(where_width, row.where.size());
    rows.push_back(std::move(row));
  };

  std::vector<std::string> out;
  const char* const mark = "<- first frame of yours";
  if (!stack.python.empty()) {
    for (std::size_t i = 0; i < stack.python.size(); ++i) {
      const PythonFrame& frame = stack.python[i];
      add({printable(fmt::format("{}:{}", short_python_file(frame.file), frame.line)),
           printable(frame.function), "", static_cast<int>(i) == stack.your_python});
    }
    for (const Row& row : rows) {
      out.push_back(fmt::format("{:<{}}  {:<{}}  {}", row.what, what_width, row.where, where_width,
                                row.yours ? style.bold(mark) : ""));
    }
    rows.clear();
    what_width = where_width = 0;
    if (shown_frames(stack) > 0) out.emplace_back("beneath it, natively:");
  }

  const std::size_t shown = shown_frames(stack);
  std::size_t number = 0;
  for (std::size_t i = 0; i < shown; ++i, ++number) {
    // The interpreter's own frames say nothing that the Python frames do not say better.
    std::size_t end = i;
    while (end < shown && is_interpreter(stack.frames[end].module)) ++end;
    if (!stack.python.empty() && end > i + 2) {
      add({fmt::format("   ... {} of the interpreter", counted(end - i, "frame")), "", "", false});
      number += end - i - 1;
      i = end - 1;
      continue;
    }
    const Frame& frame = stack.frames[i];
    // std::thread alone has five of them.
    if (frame.inlined && frame.library) {
      --number;
      continue;
    }
    if (rows.size() >= limit) {
      add({fmt::format("   ... {} more, see --json", shown - i), "", "", false});
      break;
    }
    const std::string name = frame.function.empty() ? "?" : short_function(frame.function);
    add({printable(fmt::format("#{:<2} {}{}", number, name, frame.inlined ? " (inlined)" : "")),
         frame.file.empty()
             ? ""
             : printable(fmt::format("{}:{}", short_source_file(frame.file), frame.line)),
         printable(frame.module.empty() ? fmt::format("{:#x}", frame.ip)
                                        : place(frame.module, frame.offset)) +
             (frame.guessed ? "  (guessed from the frame pointer)" : ""),
         frame.yours});
  }
  for (const Row& row : rows) {
    out.push_back(fmt::format("{:<{}}  {:<{}}  {}{}", row.what, what_width, row.where, where_width,
                              row.module, row.yours ? "  " + style.bold(mark) : ""));
  }
  if (!stack.ended.empty()) out.push_back(fmt::format("    ({})", printable(stack.ended)));
  for (std::string& row : out) row.erase(row.find_last_not_of(' ') + 1);
  return out;
}

std::string sentence(const Event& event, const Analysis& analysis) {
  std::string out = who_waits(event);
  out += event.verdict == "certain" ? " waits for ever" : " waits, most likely for ever,";
  const std::string python = python_call(analysis.wait);
  const std::string object = object_name(event, analysis);
  if (!python.empty()) {
    out += fmt::format(" in {}()", printable(python));
  } else if (!object.empty()) {
    out += fmt::format(" for {}", printable(object));
  } else if (!event.wait_call.empty()) {
    out += fmt::format(" in {}()", printable(event.wait_call));
  }
  if (is_orphaned(event)) {
    out += ": a thread that did not survive fork() holds it. Nobody in this process can unlock it.";
  } else if (!event.lost.empty()) {
    bool plural = false;
    const std::string names = lost_names(event, plural);
    const bool named = names.front() == '"';
    out += fmt::format(
        ": {}, {} would end the wait, ran only in the parent and did not survive fork().", names,
        named ? "the thread that" : "which");
  } else {
    out += ": no thread of this process can end the wait.";
  }
  out.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(out.front())));
  return out;
}

std::string list_row(const Event& event, const Style& style) {
  std::string name =
      event.process.argv0.empty() ? base_name(event.process.exe) : event.process.argv0;
  std::string what = printable(event.wait_thread.empty() ? "a thread" : event.wait_thread);
  if (!event.wait_call.empty()) what += " in " + printable(event.wait_call);
  if (!event.lost.empty()) {
    bool plural = false;
    what += " waits for " + lost_names(event, plural) + ", lost at fork";
  }
  return fmt::format("{}  {:<7}  {}  {} [{}]  {}{}", style.bold(printable(event.id)),
                     printable(event.verdict), printable(event.time), printable(name),
                     event.process.pid, what,
                     event.seen > 1 ? fmt::format("  x{}", event.seen) : "");
}

std::string other_row(const Event& event) {
  // Fields that identify the event or were shown above; everything else is what it has to say.
  static const std::vector<std::string> kKnown = {"schema",  "event",    "time",        "mono_ns",
                                                  "boot_id", "host",     "pidns_inode", "process",
                                                  "id",      "forkmend", "modules",     "threads"};
  std::string out = fmt::format("{}  {}", short_time(event.time, event.time), event.event);
  for (const auto& [key, value] : event.raw.items()) {
    if (std::find(kKnown.begin(), kKnown.end(), key) != kKnown.end() || value.is_null()) continue;
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    if (key.size() > 3 && key.compare(key.size() - 3, 3, "_ns") == 0 && value.is_number()) {
      out +=
          fmt::format(", {} {:.1f} ms", key.substr(0, key.size() - 3), value.get<double>() / 1e6);
    } else {
      out += fmt::format(", {} {}", key, text);
    }
  }
  // Who kept fork waiting: a few of them tell what the pool was doing.
  constexpr std::size_t kThreads = 4;
  const auto threads = event.raw.find("threads");
  if (threads != event.raw.end() && threads->is_array()) {
    const auto text = [](const nlohmann::json& thread, const char* key) {
      const auto found = thread.find(key);
      return found != thread.end() && found->is_string() ? found->get<std::string>() : "";
    };
    for (std::size_t i = 0; i < threads->size() && i < kThreads; ++i) {
      const nlohmann::json& thread = (*threads)[i];
      if (!thread.is_object()) continue;
      out += fmt::format("{} {} {}", i == 0 ? ":" : ";", quoted(text(thread, "name")),
                         text(thread, "doing"));
    }
    if (threads->size() > kThreads) {
      out += fmt::format("; and {}", counted(threads->size() - kThreads, "other"));
    }
  }
  return printable(out);
}

std::string full_block(const Event& event, const Analysis& analysis,
                       const std::vector<const Event*>& others, const Style& style) {
  Sections out(style);
  const std::string name =
      event.process.argv0.empty() ? base_name(event.process.exe) : event.process.argv0;
  out.raw(fmt::format(
      "forkmend: {} {}  {} [{}]  {}", style.red(fmt::format("LOCKUP {}", printable(event.verdict))),
      style.bold(printable(event.id)), printable(name), event.process.pid, printable(event.time)));
  for (const std::string& line : wrapped(sentence(event, analysis), kWidth - 2)) {
    out.raw("  " + line);
  }
  out.raw("");
  add_process(out, event, analysis);
  add_waiting(out, event, analysis, style);
  add_lost(out, event, analysis, style);
  std::string_view label = "EVIDENCE";
  for (const Evidence& item : event.evidence) {
    out.text(label, printable(item.text.empty() ? item.code : item.text));
    label = "";
  }
  out.text("RUNTIME", runtime_line(event));
  if (!event.action.empty() && event.action != "report") {
    out.text("ACTION", printable(event.action));
  }
  add_fixes(out, event, "now", "FIX NOW");
  add_fixes(out, event, "code", "FIX CODE");
  label = "ALSO SEEN";
  for (const Event* other : others) {
    out.text(label, other_row(*other));
    label = "";
  }
  label = "NOTE";
  for (const std::string& note : analysis.notes) {
    out.text(label, printable(note));
    label = "";
  }
  out.text("FROM", fmt::format("{}:{}{}", printable(event.file), event.line,
                               event.seen > 1 ? fmt::format(", seen {} times", event.seen) : ""));
  return out.take();
}

}  // namespace forkmend::command
