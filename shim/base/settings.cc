#include "shim/base/settings.h"

#include <cstddef>

#include "shim/base/glob.h"
#include "shim/base/policy.h"
#include "shim/base/text.h"

namespace forkmend {

Settings settings;

namespace {

constexpr Nanoseconds kLongest = 3600 * kSecond;  // an hour: beyond it a typo is likelier

bool parse_number(std::string_view text, long highest, long& out) {
  if (text.empty() || text.size() > 12) return false;
  long value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + (c - '0');
  }
  if (value > highest) return false;
  out = value;
  return true;
}

bool parse_milliseconds(std::string_view text, Nanoseconds& out) {
  long value;
  if (!parse_number(text, kLongest / kMillisecond, value)) return false;
  out = value * kMillisecond;
  return true;
}

template <class Enum, std::size_t N>
bool parse_choice(std::string_view text, const std::string_view (&names)[N], Enum& out) {
  for (std::size_t i = 0; i < N; i++) {
    if (text == names[i]) {
      out = static_cast<Enum>(i);
      return true;
    }
  }
  return false;
}

bool parse_on_lockup(std::string_view text) {
  constexpr std::string_view kNames[] = {"report", "abort"};
  if (parse_choice(text, kNames, settings.on_lockup)) return true;
  long code;
  if (text.substr(0, 5) != "exit:" || !parse_number(text.substr(5), 255, code)) return false;
  settings.on_lockup = OnLockup::exit;
  settings.exit_code = static_cast<int>(code);
  return true;
}

bool parse_bool(std::string_view text, bool& out) {
  if (text == "1" || text == "on" || text == "true" || text == "yes") return out = true;
  if (text == "0" || text == "off" || text == "false" || text == "no") {
    out = false;
    return true;
  }
  return false;
}

bool parse_off(std::string_view text) {
  bool on;
  if (!parse_bool(text, on)) return false;
  settings.off = !on;
  return true;
}

bool parse_log(std::string_view text) {
  constexpr std::string_view kNames[] = {"quiet", "info"};
  return parse_choice(text, kNames, settings.log);
}

bool parse_orphans(std::string_view text) {
  constexpr std::string_view kNames[] = {"report", "reset", "abort"};
  return parse_choice(text, kNames, settings.orphans);
}

bool parse_drain(std::string_view text) {
  if (!parse_milliseconds(text, settings.drain)) return false;
  return settings.drain_given = true;
}

bool is_policy_item(std::string_view item) {
  std::string_view name;
  Policy policy;
  return parse_policy_item(item, name, policy);
}

// An empty list is a readable one: nothing is changed.
bool parse_policies(const char* value) {
  bool any = false, readable = false;
  for_each_item(value, [&](std::string_view item) {
    any = true;
    readable = readable || is_policy_item(item);
  });
  if (any && !readable) return false;
  settings.policy = value;
  return true;
}

// One row a setting: the name, what is expected (for the line that says otherwise), the parser,
// which changes nothing where it returns false; of a list, what an item has to be.
struct Row {
  std::string_view name;
  std::string_view expected;
  bool (*parse)(const char* value);
  bool (*readable)(std::string_view item) = nullptr;
};

constexpr std::string_view kMilliseconds = "milliseconds, 0 to 3600000";

constexpr std::string_view kPolicyForm =
    "NAME:POLICY with leave, report, forkall, quiesce, drain, callback, rerun, resume or eager";
static_assert(kPolicyCount == 9, "name the new policy above");

constexpr Row kRows[] = {
    {"on_lockup", "report, abort or exit:N", [](const char* v) { return parse_on_lockup(v); }},
    {"log", "quiet or info", [](const char* v) { return parse_log(v); }},
    {"orphans", "report, reset or abort", [](const char* v) { return parse_orphans(v); }},
    {"drain_ms", kMilliseconds, [](const char* v) { return parse_drain(v); }},
    {"exit_ms", kMilliseconds, [](const char* v) { return parse_milliseconds(v, settings.exit); }},
    {"grace_ms", kMilliseconds,
     [](const char* v) { return parse_milliseconds(v, settings.grace); }},
    {"threshold_ms", kMilliseconds,
     [](const char* v) { return parse_milliseconds(v, settings.threshold); }},
    {"inherit", "1 or 0", [](const char* v) { return parse_bool(v, settings.inherit); }},
    {"profiles", "", [](const char* v) { return settings.profiles = v, true; }},
    {"policy", kPolicyForm, parse_policies, is_policy_item},
    {"only", "", [](const char* v) { return settings.only = v, true; }},
    {"dir", "", [](const char* v) { return settings.dir = v, true; }},
    {"config", "", [](const char* v) { return settings.config = v, true; }},
};
constexpr std::size_t kRowCount = sizeof kRows / sizeof kRows[0];

bool from_environment[kRowCount];

// "FORKMEND_DRAIN_MS" → "drain_ms"; FORKMEND_LIB and FORKMEND_DOCTOR belong to the command.
bool belongs_to_command(std::string_view name) { return name == "lib" || name == "doctor"; }

}  // namespace

bool apply_setting(std::string_view name, const char* value, SettingSource source,
                   std::string_view where, SettingProblem problem) {
  for (std::size_t i = 0; i < kRowCount; i++) {
    if (name != kRows[i].name) continue;
    if (source == SettingSource::file && from_environment[i]) return true;
    if (kRows[i].parse(value)) {
      if (source == SettingSource::environment) from_environment[i] = true;
    } else if (kRows[i].readable == nullptr) {
      problem(where, value, {}, kRows[i].expected);
    }
    if (kRows[i].readable != nullptr) {
      bool said = false;  // one line a value
      for_each_item(value, [&](std::string_view item) {
        if (said || kRows[i].readable(item)) return;
        problem(where, value, item, kRows[i].expected);
        said = true;
      });
    }
    return true;
  }
  return false;
}

void read_environment(char** environment, SettingProblem problem) {
  constexpr std::string_view kPrefix = "FORKMEND";
  for (; environment != nullptr && *environment != nullptr; environment++) {
    const std::string_view entry(*environment);
    if (entry.substr(0, kPrefix.size()) != kPrefix) continue;
    const std::size_t equals = entry.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view variable = entry.substr(0, equals);
    const char* value = *environment + equals + 1;
    if (variable == kPrefix) {  // FORKMEND=off
      if (!parse_off(value)) problem(variable, value, {}, "on or off");
      continue;
    }
    if (variable[kPrefix.size()] != '_') continue;  // FORKMENDER is somebody else's
    char name[32];
    copy_text(name, variable.substr(kPrefix.size() + 1));
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    if (belongs_to_command(name)) continue;
    if (!apply_setting(name, value, SettingSource::environment, variable, problem))
      problem(variable, value, {}, "a known setting; see the README");
  }
}

}  // namespace forkmend
