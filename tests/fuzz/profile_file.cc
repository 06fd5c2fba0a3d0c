// Profile and configuration files: whatever a file contains, it is read or it is refused.
#include <cstring>
#include <string>

#include "shim/runtimes/profile_file.h"
#include "tests/fuzz/fuzz.h"

using namespace forkmend;

namespace {

template <std::size_t Size>
void require_terminated(const char (&field)[Size]) {
  fuzz::require(memchr(field, 0, Size) != nullptr, "fields are terminated");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const ProfileFile file = parse_profile_file(text, "f");
  for (const ProfileProblem& problem : file.problems) {
    fuzz::require(problem.line >= 0 && !problem.text.empty(), "a problem says what and where");
    fuzz::require(problem.message().size() < 2000, "a problem is one line that can be read");
    fuzz::require(problem.text.find('\n') == std::string::npos, "a problem is one line");
  }
  fuzz::require(file.problems.size() <= 30, "not more problems than a person reads");
  fuzz::require(file.profiles.size() == file.profile_lines.size(), "a line for each profile");
  for (const Profile& profile : file.profiles) {
    fuzz::require(profile.name[0] != '\0', "a profile has a name");
    fuzz::require(static_cast<int>(profile.policy) < kPolicyCount, "a known policy");
    require_terminated(profile.name);
    require_terminated(profile.measured);
    require_terminated(profile.fix_now);
    require_terminated(profile.fix_code);
    for (const auto& pattern : profile.dso) require_terminated(pattern);
    for (const auto& symbol : profile.enqueue_symbol) require_terminated(symbol);
  }
  for (const ProfileSetting& setting : file.settings) {
    fuzz::require(setting.value.find('\0') == std::string::npos, "a setting's value is whole");
  }
  return 0;
}
