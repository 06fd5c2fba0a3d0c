// forkmend run: executes a program with the shared object preloaded.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "shim/command/command.h"
#include "shim/command/library.h"
#include "shim/command/output.h"
#include "shim/command/program.h"
#include "shim/runtimes/profile_file.h"

namespace forkmend::command {
namespace {

void set(const char* name, const std::string& value) {
  if (!value.empty() && setenv(name, value.c_str(), 1) != 0) {
    throw UserError(fmt::format("{} could not be set: {}", name, std::strerror(errno)), kExitOwn);
  }
}

// The program may change its directory before the library looks.
std::string absolute(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
}

bool is_path(const std::string& item) {
  return item.find('/') != std::string::npos ||
         (item.size() > 5 && item.compare(item.size() - 5, 5, ".toml") == 0);
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> out;
  std::istringstream stream(list);
  for (std::string item; std::getline(stream, item, ',');) out.push_back(item);
  return out;
}

// Names stay, files become absolute.
std::string profile_list(const std::string& list) {
  std::string out;
  for (const std::string& item : split(list)) {
    const bool plus = !item.empty() && item.front() == '+';
    const std::string name = item.substr(plus ? 1 : 0);
    if (is_path(name) && !std::filesystem::exists(name)) {
      throw UserError(fmt::format("--profiles: {}: no such file or directory", name), kExitOwn);
    }
    out += fmt::format("{}{}{}", out.empty() ? "" : ",", plus ? "+" : "",
                       is_path(name) ? absolute(name) : name);
  }
  return out;
}

void check_policies(const std::string& list) {
  for (const std::string& item : split(list)) {
    const std::size_t colon = item.rfind(':');
    const std::string policy = colon == std::string::npos ? "" : item.substr(colon + 1);
    const auto* const end = kPolicyNames + kPolicyCount;
    if (colon != std::string::npos && colon > 0 && std::find(kPolicyNames, end, policy) != end) {
      continue;
    }
    std::string known;
    for (const char* name : kPolicyNames) known += (known.empty() ? "" : ", ") + std::string(name);
    throw UserError(
        fmt::format("--policy: \"{}\": write NAME:POLICY, POLICY one of {}", item, known),
        kExitOwn);
  }
}

void check_on_lockup(const std::string& what) {
  if (what.empty() || what == "report" || what == "abort") return;
  const std::string code = what.substr(0, 5) == "exit:" ? what.substr(5) : "";
  if (!code.empty() && code.size() <= 3 &&
      code.find_first_not_of("0123456789") == std::string::npos && std::stoi(code) <= 255) {
    return;
  }
  throw UserError(
      fmt::format("--on-lockup: \"{}\": give report, abort or exit:N, N up to 255", what),
      kExitOwn);
}

void check_log(const std::string& level) {
  if (level.empty() || level == "quiet" || level == "info") return;
  throw UserError(fmt::format("--log: \"{}\": give quiet or info", level), kExitOwn);
}

void check_config(const std::string& path) {
  if (path.empty()) return;
  const ProfileFile file = read_profile_file(path);
  if (!file.problems.empty()) {
    throw UserError(fmt::format("--config: {}", file.problems.front().message()), kExitOwn);
  }
}

void check_number(const char* option, const std::string& value) {
  if (value.find_first_not_of("0123456789") == std::string::npos && value.size() <= 9) return;
  throw UserError(fmt::format("{}: \"{}\": give a whole number of milliseconds", option, value),
                  kExitOwn);
}

// The first word that is no option is the program, and all after it is the program's: `before` and
// `after` the first "--", which may be one of the program's arguments itself.
std::vector<std::string> command_words(const std::vector<std::string>& before,
                                       const std::vector<std::string>& after) {
  std::vector<std::string> words = before;
  words.insert(words.end(), after.begin() + (before.empty() && !after.empty() ? 1 : 0),
               after.end());
  if (!before.empty() && words.front() != "-" && words.front().front() == '-') {
    throw UserError(fmt::format("unknown option {}; see forkmend run --help", words.front()),
                    kExitOwn);
  }
  if (words.empty() || words.front().empty()) {
    throw UserError("no program: write forkmend run [OPTIONS] -- PROGRAM [ARGUMENTS]", kExitOwn);
  }
  return words;
}

}  // namespace

int run(const RunOptions& options) {
  std::vector<std::string> words = command_words(options.command, options.after_dashes);
  check_policies(options.policy);
  check_number("--drain-ms", options.drain_ms);
  check_on_lockup(options.on_lockup);
  check_log(options.log);
  check_config(options.config);
  const Library library = find_library(options.library, kExitOwn);

  int exit_code = 0;
  std::string why;
  const std::string program = find_program(words.front(), exit_code, why);
  if (program.empty()) throw UserError(fmt::format("{}: {}", words.front(), why), exit_code);
  for (const Finding& finding : check_program(program)) {
    if (finding.level != Level::fail) continue;
    complain("forkmend run", fmt::format("not protected: {}", finding.text));
  }

  set("FORKMEND_POLICY", options.policy);
  set("FORKMEND_PROFILES", profile_list(options.profiles));
  set("FORKMEND_ON_LOCKUP", options.on_lockup);
  set("FORKMEND_LOG", options.log);
  set("FORKMEND_DRAIN_MS", options.drain_ms);
  set("FORKMEND_DIR", absolute(options.directory));
  set("FORKMEND_CONFIG", absolute(options.config));
  set("FORKMEND_ONLY", options.only);
  if (options.no_inherit) set("FORKMEND_INHERIT", "0");
  const char* const present = std::getenv("LD_PRELOAD");
  set("LD_PRELOAD", preload_list(present == nullptr ? "" : present, library));

  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  execvp(arguments[0], arguments.data());
  const int error = errno;
  throw UserError(fmt::format("{}: {}", words.front(), std::strerror(error)),
                  error == ENOENT ? kExitNotFound : kExitNotExecutable);
}

}  // namespace forkmend::command
