#include "shim/command/event.h"

#include <fmt/format.h>

#include <charconv>

#include "shim/command/base64.h"

namespace forkmend::command {
namespace {

using nlohmann::json;

// How the shared object says that there is none.
constexpr std::string_view kNoRuntime = "none recognised";

// One object of the line, with the path to it for messages.
class Fields {
 public:
  Fields(const json& object, std::string path) : object_(object), path_(std::move(path)) {
    if (!object.is_object()) wrong(path_.empty() ? "the line" : path_, object, "an object");
  }

  std::string text(const char* key) const {
    const json* value = find(key);
    if (value == nullptr) return {};
    if (!value->is_string()) wrong(path(key), *value, "a string");
    return value->get<std::string>();
  }

  std::string required_text(const char* key) const {
    std::string value = text(key);
    if (value.empty()) throw FormatError(path(key) + " is missing");
    return value;
  }

  std::int64_t number(const char* key, std::int64_t fallback = 0) const {
    const json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_number_integer()) wrong(path(key), *value, "a whole number");
    if (value->is_number_unsigned() && value->get<std::uint64_t>() > std::uint64_t{INT64_MAX}) {
      throw FormatError(path(key) + " is out of range");
    }
    return value->get<std::int64_t>();
  }

  int small(const char* key) const {
    const std::int64_t value = number(key);
    if (value < INT32_MIN || value > INT32_MAX) throw FormatError(path(key) + " is out of range");
    return static_cast<int>(value);
  }

  std::optional<bool> boolean(const char* key) const {
    const json* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_boolean()) wrong(path(key), *value, "true or false");
    return value->get<bool>();
  }

  // "0x…"; numbers as JSON lose precision in other readers, so that they are written as text.
  Address address(const char* key) const {
    const std::string value = text(key);
    if (value.empty()) return 0;
    Address out = 0;
    const char* const end = value.data() + value.size();
    const bool prefix = value.size() > 2 && value[0] == '0' && value[1] == 'x';
    const auto result = std::from_chars(value.data() + (prefix ? 2 : 0), end, out, 16);
    if (!prefix || result.ec != std::errc{} || result.ptr != end) {
      throw FormatError(path(key) + " is no address of the form 0x…");
    }
    return out;
  }

  std::optional<Fields> object(const char* key) const {
    const json* value = find(key);
    if (value == nullptr) return std::nullopt;
    return Fields(*value, path(key));
  }

  template <class Each>
  void each(const char* key, Each take) const {
    const json* value = find(key);
    if (value == nullptr) return;
    if (!value->is_array()) wrong(path(key), *value, "an array");
    for (std::size_t i = 0; i < value->size(); ++i) {
      take((*value)[i], fmt::format("{}[{}]", path(key), i));
    }
  }

  template <class Each>
  void each_object(const char* key, Each take) const {
    each(key, [&](const json& item, std::string at) { take(Fields(item, std::move(at))); });
  }

  template <class Each>
  void each_entry(Each take) const {
    for (const auto& [key, value] : object_.items()) take(key);
  }

  [[noreturn]] static void wrong(const std::string& where, const json& found, const char* wanted) {
    throw FormatError(fmt::format("{} is {} {}, not {}", where,
                                  found.is_array() || found.is_object() ? "an" : "a",
                                  found.type_name(), wanted));
  }

 private:
  const json* find(const char* key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  std::string path(const char* key) const { return path_.empty() ? key : path_ + "." + key; }

  const json& object_;
  std::string path_;
};

PythonFrame python_frame(const Fields& fields) {
  return {fields.text("file"), fields.small("line"), fields.text("function")};
}

std::optional<StackCopy> stack_copy(const Fields& parent) {
  const auto fields = parent.object("stack");
  if (!fields) return std::nullopt;
  StackCopy stack;
  if (const auto registers = fields->object("registers")) {
    registers->each_entry([&](const std::string& name) {
      stack.registers.emplace_back(name, registers->address(name.c_str()));
    });
  }
  stack.base = fields->address("base");
  auto bytes = base64_decode(fields->text("bytes"));
  if (!bytes) throw FormatError("the bytes of a stack are not base64");
  stack.bytes = std::move(*bytes);
  if (stack.base > UINT64_MAX - stack.bytes.size()) {
    throw FormatError("a stack's base is out of range");
  }
  stack.truncated = fields->boolean("truncated").value_or(false);
  fields->each_object("python",
                      [&](const Fields& frame) { stack.python.push_back(python_frame(frame)); });
  return stack;
}

void read_fork(Event& event, const Fields& line) {
  const auto fork = line.object("fork");
  if (!fork) return;
  event.fork_time = fork->text("time");
  event.fork_mono_ns = fork->number("mono_ns");
  event.fork_parent = fork->small("parent_pid");
  fork->each_object("caller", [&](const Fields& caller) {
    event.fork_caller.push_back({caller.address("addr"), python_frame(caller)});
  });
}

void read_wait(Event& event, const Fields& line) {
  const auto wait = line.object("wait");
  if (!wait) return;
  event.wait_tid = wait->small("tid");
  event.wait_thread = wait->text("thread");
  event.wait_call = wait->text("call");
  event.wait_since_mono_ns = wait->number("since_mono_ns");
  const std::int64_t timeout = wait->number("timeout_ns", -1);
  if (timeout >= 0) event.wait_timeout_ns = timeout;
  if (const auto object = wait->object("object")) {
    event.object = WaitedFor{object->address("addr"), object->text("kind"),
                             object->boolean("pshared"), object->small("owner_tid")};
  }
  event.wait_stack = stack_copy(*wait);
}

LostThread lost_thread(const Fields& fields) {
  LostThread lost;
  lost.generation = fields.small("generation");
  lost.serial = fields.number("serial");
  lost.tid_in_parent = fields.small("tid_in_parent");
  lost.name = fields.text("name");
  lost.runtime = fields.text("runtime");
  if (lost.runtime == kNoRuntime) lost.runtime.clear();
  lost.dso = fields.text("dso");
  lost.creator = fields.address("creator");
  lost.start_routine = fields.address("start_routine");
  if (const auto at_fork = fields.object("at_fork")) {
    lost.at_fork = at_fork->text("wait");
    lost.at_fork_kind = at_fork->text("kind");
    lost.at_fork_object = at_fork->address("object");
    lost.stack = stack_copy(*at_fork);
  }
  fields.each_object("held", [&](const Fields& held) {
    lost.held.push_back({held.address("addr"), held.text("kind")});
  });
  return lost;
}

void read_lockup(Event& event, const Fields& line) {
  event.id = line.required_text("id");
  event.fingerprint = line.text("fingerprint");
  event.verdict = line.required_text("verdict");
  event.cause = line.text("cause");
  read_fork(event, line);
  read_wait(event, line);
  line.each_object("lost", [&](const Fields& lost) { event.lost.push_back(lost_thread(lost)); });
  event.lost_total = line.number("lost_total", static_cast<std::int64_t>(event.lost.size()));
  line.each_object("evidence", [&](const Fields& item) {
    event.evidence.push_back({item.text("code"), item.text("text")});
  });
  line.each_object("fixes", [&](const Fields& fix) {
    event.fixes.push_back(
        {fix.text("kind"), fix.text("setting"), fix.text("text"), fix.text("risk")});
  });
  if (const auto runtime = line.object("runtime")) {
    event.runtime_name = runtime->text("name");
    event.has_runtime = !event.runtime_name.empty() && event.runtime_name != kNoRuntime;
    event.runtime_dso = runtime->text("dso");
    event.runtime_policy = runtime->text("policy");
    event.runtime_profile = runtime->text("profile");
    event.runtime_version = runtime->text("version");
    event.runtime_measured = runtime->boolean("measured");
  }
  event.action = line.text("action");
  event.seen = line.number("seen", 1);
  line.each("truncated", [&](const json& item, const std::string& at) {
    if (!item.is_string()) Fields::wrong(at, item, "a string");
    event.truncated.push_back(item.get<std::string>());
  });
  line.each_object("modules", [&](const Fields& module) {
    event.modules.push_back({module.text("path"), module.address("lo"), module.address("hi"),
                             module.address("bias"), module.text("build_id")});
  });
}

}  // namespace

Address StackCopy::at(std::string_view name) const {
  for (const auto& [key, value] : registers) {
    if (key == name) return value;
  }
  return 0;
}

bool Event::same_process(const Event& other) const {
  return process.pid == other.process.pid && process.start_ticks == other.process.start_ticks &&
         boot_id == other.boot_id && host == other.host;
}

Event parse_event(std::string_view text) {
  Event event;
  try {
    event.raw = json::parse(text, [](int depth, json::parse_event_t, json&) {
      if (depth > kMaxDepth) throw FormatError("it is nested too deeply");
      return true;
    });
  } catch (const json::exception& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 9: what is wrong"
    std::string_view what = error.what();
    if (const auto at = what.find("column "); at != std::string_view::npos) what.remove_prefix(at);
    throw FormatError(fmt::format("not JSON, {}", what));
  }
  const Fields line(event.raw, "");
  const std::int64_t schema = line.number("schema");
  if (schema != kSchema) {
    throw FormatError(schema > kSchema
                          ? fmt::format("schema {} is newer than this command: update it", schema)
                          : std::string("it has no schema number: no event of forkmend"));
  }
  event.event = line.required_text("event");
  event.time = line.text("time");
  event.mono_ns = line.number("mono_ns");
  event.host = line.text("host");
  event.boot_id = line.text("boot_id");
  if (const auto process = line.object("process")) {
    event.process = {process->small("pid"),    process->number("start_ticks"),
                     process->small("ppid"),   process->small("generation"),
                     process->text("argv0"),   process->text("exe"),
                     process->text("build_id")};
  }
  if (const auto forkmend = line.object("forkmend")) event.version = forkmend->text("version");
  if (event.is_lockup()) read_lockup(event, line);
  return event;
}

}  // namespace forkmend::command
