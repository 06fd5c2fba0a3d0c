// The profiles that are compiled in, and those that FORKMEND_PROFILES names.
#pragma once

#include <string>
#include <vector>

#include "shim/runtimes/profile_file.h"

namespace forkmend::command {

struct KnownProfile {
  Profile profile;
  std::string origin;  // "built in", or "file:line"
};

// Built-in ones first, by name; a file's profile of the same name replaces the built-in one.
// Problems with files are appended to `problems`.
std::vector<KnownProfile> known_profiles(std::vector<std::string>& problems);

// The *.toml files of a directory, or the file itself.
std::vector<std::string> profile_paths(const std::string& path, std::vector<std::string>& problems);

}  // namespace forkmend::command
