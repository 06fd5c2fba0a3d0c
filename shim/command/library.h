// Finds the shared object and puts it into LD_PRELOAD.
#pragma once

#include <string>
#include <vector>

namespace forkmend::command {

inline constexpr const char* kLibraryName = "libforkmend.so";

struct Library {
  std::string file;     // absolute path
  std::string preload;  // what LD_PRELOAD gets: the path, or the bare name if the loader finds that
};

// `wanted` (--lib), FORKMEND_LIB, beside this executable, then the installed one. Throws UserError
// with exit code `exit_code` if there is none or the loader would refuse it: a library that is
// missing prints a line for every program that is executed.
Library find_library(const std::string& wanted, int exit_code);

// Why the loader would refuse the file; empty: it would not.
std::string library_problem(const std::string& file);

// LD_PRELOAD with `library` first, unless it is there already. Another build of the same library
// gives way: two would fight over every lock.
std::string preload_list(const std::string& present, const Library& library);

// The entries of LD_PRELOAD: colons and blanks separate.
std::vector<std::string> preload_entries(const std::string& list);

}  // namespace forkmend::command
