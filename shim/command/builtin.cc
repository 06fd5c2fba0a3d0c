#include "shim/command/builtin.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>

namespace forkmend::command {
namespace {

constexpr Profile kBuiltin[] = {
#include "builtin_profiles.inc"
};

void add_file(const std::string& path, std::vector<KnownProfile>& out,
              std::vector<std::string>& problems) {
  const ProfileFile file = read_profile_file(path);
  for (const ProfileProblem& problem : file.problems) problems.push_back(problem.message());
  for (std::size_t i = 0; i < file.profiles.size(); ++i) {
    KnownProfile known{file.profiles[i], fmt::format("{}:{}", path, file.profile_lines[i])};
    const auto same = std::find_if(out.begin(), out.end(), [&](const KnownProfile& other) {
      return std::strcmp(other.profile.name, known.profile.name) == 0;
    });
    if (same != out.end()) {
      *same = std::move(known);
    } else {
      out.push_back(std::move(known));
    }
  }
}

}  // namespace

std::vector<std::string> profile_paths(const std::string& path,
                                       std::vector<std::string>& problems) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::is_directory(path, error)) return {path};
  std::vector<std::string> out;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".toml") out.push_back(it->path().string());
  }
  if (error) {
    problems.push_back(fmt::format("{}: cannot be read: {}", path, error.message()));
  } else if (out.empty()) {
    problems.push_back(
        fmt::format("{}: no *.toml file in it: give a file or another directory", path));
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<KnownProfile> known_profiles(std::vector<std::string>& problems) {
  std::vector<KnownProfile> out;
  for (const Profile& profile : kBuiltin) out.push_back({profile, "built in"});
  const char* const list = std::getenv("FORKMEND_PROFILES");
  std::istringstream stream(list == nullptr ? "" : list);
  for (std::string item; std::getline(stream, item, ',');) {
    if (!item.empty() && item.front() == '+') item.erase(0, 1);
    const bool is_file = item.find('/') != std::string::npos ||
                         (item.size() > 5 && item.compare(item.size() - 5, 5, ".toml") == 0);
    if (!is_file) continue;
    for (const std::string& path : profile_paths(item, problems)) add_file(path, out, problems);
  }
  return out;
}

}  // namespace forkmend::command
