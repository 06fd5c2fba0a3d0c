// forkmend profiles: what is recognised, and whether a profile file is right.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "shim/command/builtin.h"
#include "shim/command/command.h"
#include "shim/command/output.h"

namespace forkmend::command {
namespace {

void print_line(const std::string& line) { print(line + "\n"); }

const char* policy_name(const Profile& profile) {
  return kPolicyNames[static_cast<std::size_t>(profile.policy)];
}

template <std::size_t Count, std::size_t Size>
std::string pattern_list(const char (&field)[Count][Size]) {
  std::string out;
  for (const auto& pattern : field) {
    if (pattern[0] != '\0') out += fmt::format("{}{}", out.empty() ? "" : ", ", pattern);
  }
  return out;
}

}  // namespace

int list_profiles() {
  std::vector<std::string> problems;
  const std::vector<KnownProfile> profiles = known_profiles(problems);
  std::size_t width = 4;
  for (const KnownProfile& known : profiles)
    width = std::max(width, std::strlen(known.profile.name));
  const Style style = Style::of(stdout);
  for (const KnownProfile& known : profiles) {
    const Profile& profile = known.profile;
    std::string note = "not measured";
    if (profile.reason[0] != '\0') note = printable(profile.reason);
    if (profile.measured[0] != '\0') note = "measured with " + printable(profile.measured);
    print_line(fmt::format("{}  {:<8}  {}  {}",
                           style.bold(fmt::format("{:<{}}", profile.name, width)),
                           policy_name(profile), printable(known.origin), note));
  }
  for (const std::string& problem : problems) complain("forkmend profiles", problem);
  return problems.empty() ? 0 : kExitFound;
}

int show_profile(const std::string& name) {
  std::vector<std::string> problems;
  const std::vector<KnownProfile> profiles = known_profiles(problems);
  for (const std::string& problem : problems) complain("forkmend profiles", problem);
  const auto found = std::find_if(profiles.begin(), profiles.end(), [&](const KnownProfile& known) {
    return name == known.profile.name;
  });
  if (found == profiles.end()) {
    throw UserError(
        fmt::format("no profile \"{}\": `forkmend profiles list` names all, files that "
                    "FORKMEND_PROFILES names included",
                    printable(name)));
  }
  const Profile& profile = found->profile;
  const Style style = Style::of(stdout);
  const auto row = [&](const char* label, const std::string& text) {
    std::string head = label;
    for (const std::string& line : wrapped(printable(text), 84)) {
      print_line(style.bold(fmt::format("{:<12}", head)) + line);
      head.clear();
    }
  };
  row("name", profile.name);
  row("from", found->origin);
  row("policy", policy_name(profile));
  if (profile.reason[0] != '\0') row("reason", profile.reason);
  if (profile.settle != 0) row("settle", "fork waits until its threads wait of their own accord");
  if (profile.asks_first != 0)
    row("asks first", "its threads are parked when they ask for an interpreter that is gone");
  if (profile.callers != 0)
    row("callers", "fork waits until no other Python thread is inside of it");
  if (profile.signal != 0)
    row("signal", fmt::format("{}, by which its threads are parked at a fork", profile.signal));
  if (profile.symbol[0][0] != '\0') row("exports", pattern_list(profile.symbol));
  if (profile.dso[0][0] != '\0') row("library", pattern_list(profile.dso));
  if (profile.thread[0][0] != '\0') row("thread", pattern_list(profile.thread));
  if (profile.python[0][0] != '\0') row("module", pattern_list(profile.python));
  if (profile.enqueue_symbol[0][0] != '\0') {
    const bool own = profile.enqueue_dso[0][0] == '\0';
    row("enqueue", fmt::format("{} in {}", pattern_list(profile.enqueue_symbol),
                               pattern_list(own ? profile.dso : profile.enqueue_dso)));
  }
  row("measured", profile.measured[0] != '\0' ? profile.measured : "no version");
  if (profile.fix_now[0] != '\0') row("fix now", profile.fix_now);
  if (profile.fix_code[0] != '\0') row("fix code", profile.fix_code);
  return problems.empty() ? 0 : kExitFound;
}

int check_profiles(const std::vector<std::string>& paths) {
  std::vector<std::string> problems;
  std::size_t files = 0;
  for (const std::string& path : paths) {
    for (const std::string& file : profile_paths(path, problems)) {
      const ProfileFile read = read_profile_file(file);
      for (const ProfileProblem& problem : read.problems) problems.push_back(problem.message());
      if (!read.problems.empty()) continue;
      ++files;
      print_line(fmt::format("{}: {}, {}", printable(file),
                             counted(read.profiles.size(), "profile"),
                             counted(read.settings.size(), "setting")));
    }
  }
  std::fflush(stdout);
  // The form that editors and compilers use, without a prefix, so that they can jump there.
  for (const std::string& problem : problems) {
    std::fputs((printable(problem) + "\n").c_str(), stderr);
  }
  return problems.empty() ? 0 : kExitFound;
}

}  // namespace forkmend::command
