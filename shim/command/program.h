// Whether a program can be preloaded, before it is run.
//
// Promises: looks at files only; runs nothing.
#pragma once

#include <string>
#include <vector>

namespace forkmend::command {

enum class Level { ok, warn, fail };

struct Finding {
  Level level = Level::ok;
  std::string subject;  // "program", "preload", …
  std::string text;     // what, and what to do
};

// The file that execvp would run for `name`. Empty, and 126 or 127 in `exit_code` with the reason
// in `why`, if it would run none.
std::string find_program(const std::string& name, int& exit_code, std::string& why);

// Checks the file, and for a script what interprets it. The first finding names the file.
std::vector<Finding> check_program(const std::string& path);

}  // namespace forkmend::command
