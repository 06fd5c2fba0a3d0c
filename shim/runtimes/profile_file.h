// Reads profile and configuration files (TOML).
//
// Promises: one file in, everything that is right in it and everything that is wrong with it out;
// each problem names its line and what to do; a profile with a problem is not delivered. Never
// throws or aborts for what a file contains, recurses a bounded depth, reads regular files only,
// and never exceeds the limits of profile.h. Does not: know the settings' names or values (the
// shared object does), or match profiles.
//
// Used by the `forkmend` command, by the program that embeds the built-in profiles, and by
// libforkmend-config.so; never by the shared object itself. Needs toml++ and the standard library.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "shim/runtimes/profile.h"

namespace forkmend {

// A file larger than this is no configuration (a log or a device given by mistake).
inline constexpr std::size_t kProfileFileMax = 1 << 20;

struct ProfileProblem {
  std::string file;
  int line = 0;  // 1-based; 0: the file as a whole
  std::string text;

  // "file:line: text"
  std::string message() const;
};

struct ProfileSetting {
  std::string name;   // as in the file: lower case, without prefix
  std::string value;  // as the environment variable would spell it
  int line = 0;
};

struct ProfileFile {
  std::string file;
  std::vector<Profile> profiles;
  std::vector<int> profile_lines;  // of each profile's name
  std::vector<ProfileSetting> settings;
  std::vector<ProfileProblem> problems;  // in the order of their lines
};

// Parses `text`; `file` is the name that the problems carry.
ProfileFile parse_profile_file(std::string_view text, const std::string& file);

// Reads and parses the file at `path`. A file that cannot be read is one problem.
ProfileFile read_profile_file(const std::string& path);

}  // namespace forkmend
