// embed_profiles OUT.inc FILE.toml...: writes built-in profiles as C++.
//
// Promises: OUT.inc holds the initialisers of an array of Profile, sorted by name, so that
// `constexpr Profile kBuiltin[] = {` #include "builtin_profiles.inc" `};` needs no code at run
// time. A problem in any file is printed with its line, nothing is written, and the exit code is 1.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "shim/runtimes/profile_file.h"

namespace forkmend {
namespace {

// Octal escapes end after three digits, whatever follows; hexadecimal ones do not.
std::string literal(const char* text) {
  std::string out = "\"";
  for (; *text != '\0'; ++text) {
    const auto c = static_cast<unsigned char>(*text);
    if (c == '"' || c == '\\' || c == '?' || c < 0x20 || c >= 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\%03o", static_cast<unsigned>(c));
      out += escape;
    } else {
      out += static_cast<char>(c);
    }
  }
  return out + "\"";
}

template <std::size_t Count, std::size_t Size>
std::string patterns(const char (&field)[Count][Size]) {
  std::string out = "{";
  for (std::size_t i = 0; i < Count && field[i][0] != '\0'; ++i) {
    if (i != 0) out += ", ";
    out += literal(field[i]);
  }
  return out + "}";
}

std::string initialiser(const Profile& profile) {
  return std::string("{") + literal(profile.name) + ",\n " + patterns(profile.dso) + ",\n " +
         patterns(profile.thread) + ",\n " + patterns(profile.python) + ",\n " +
         patterns(profile.symbol) + ",\n " + patterns(profile.python_enqueue) + ",\n " +
         patterns(profile.python_pending) + ",\n " + patterns(profile.enqueue_symbol) + ",\n " +
         patterns(profile.enqueue_dso) +
         ",\n ::forkmend::Policy::" + kPolicyNames[static_cast<std::size_t>(profile.policy)] +
         ",\n " + (profile.settle != 0 ? "1" : "0") + ", " + (profile.asks_first != 0 ? "1" : "0") +
         ", " + (profile.callers != 0 ? "1" : "0") + ",\n " + std::to_string(profile.drain_ms) +
         ", " + std::to_string(profile.signal) + ", " + (profile.opt_in != 0 ? "1" : "0") + ",\n " +
         literal(profile.measured) + ",\n " + literal(profile.fix_now) + ",\n " +
         literal(profile.fix_code) + ",\n " + literal(profile.reason) + "},\n";
}

int embed(const char* out_path, const std::vector<std::string>& paths) {
  std::vector<Profile> profiles;
  bool wrong = false;
  const auto complain = [&](const std::string& message) {
    std::cerr << message << '\n';
    wrong = true;
  };
  for (const std::string& path : paths) {
    const ProfileFile file = read_profile_file(path);
    for (const ProfileProblem& problem : file.problems) complain(problem.message());
    if (file.problems.empty() && file.profiles.empty()) {
      complain(path + ": no profile in it: remove the file, or write one");
    }
    for (const ProfileSetting& setting : file.settings) {
      complain(path + ":" + std::to_string(setting.line) +
               ": a setting in a built-in profile: move it to a configuration file");
    }
    for (std::size_t i = 0; i < file.profiles.size(); ++i) {
      const char* const name = file.profiles[i].name;
      if (std::any_of(profiles.begin(), profiles.end(),
                      [&](const Profile& other) { return std::strcmp(other.name, name) == 0; })) {
        complain(path + ":" + std::to_string(file.profile_lines[i]) + ": a second profile \"" +
                 name + "\": rename or remove one");
      }
      profiles.push_back(file.profiles[i]);
    }
  }
  if (wrong) return 1;

  std::sort(profiles.begin(), profiles.end(),
            [](const Profile& a, const Profile& b) { return std::strcmp(a.name, b.name) < 0; });
  std::ofstream out(out_path, std::ios::trunc);
  out << "// Generated from shim/runtimes/profiles by embed_profiles: edit those.\n";
  for (const Profile& profile : profiles) out << initialiser(profile);
  out.close();
  if (out.fail()) {
    std::cerr << out_path << ": cannot be written: " << std::strerror(errno) << '\n';
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace forkmend

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: embed_profiles OUT.inc FILE.toml...\n";
    return 1;
  }
  return forkmend::embed(argv[1], std::vector<std::string>(argv + 2, argv + argc));
}
