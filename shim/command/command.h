// The subcommands of `forkmend`, and how each says that it was asked for something impossible.
//
// Promises: one function per subcommand, which takes its options as command_line.cc read them. Bad
// input is a UserError: one line, an exit code.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace forkmend::command {

// Where `make install` puts the shared object: the multiarch library directory, so that the
// loader finds the bare name.
#ifndef FORKMEND_LIBDIR
#define FORKMEND_LIBDIR "/usr/local/lib"
#endif

inline constexpr int kExitFound = 1;  // report --exit-code, profiles check, doctor
inline constexpr int kExitUsage = 2;  // bad input
inline constexpr int kExitOwn = 125;  // run: what env(1), nohup(1) and timeout(1) use
inline constexpr int kExitNotExecutable = 126;
inline constexpr int kExitNotFound = 127;

// What went wrong, where, and what to do, on one line without a full stop.
class UserError : public std::runtime_error {
 public:
  explicit UserError(const std::string& text, int exit_code = kExitUsage)
      : std::runtime_error(text), exit_code_(exit_code) {}
  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

// Each checks its options before it does anything, and returns the command's exit status.

struct RunOptions {
  std::string library, policy, profiles, on_lockup, log, drain_ms, directory, config, only;
  bool no_inherit = false;
  // The program's words: before the first "--" and from it on, since it may be one of them.
  std::vector<std::string> command, after_dashes;
};
int run(const RunOptions& options);

struct ReportOptions {
  std::string subject;  // an id or its beginning, a file, a directory, a process; empty: all
  std::string sysroot;  // without a slash at its end
  bool json = false;
  bool exit_code = false;
};
int report(const ReportOptions& options);

int list_profiles();
int show_profile(const std::string& name);
int check_profiles(const std::vector<std::string>& paths);

// `library` and `program` may be empty: the one that `run` would take, none.
int doctor(const std::string& library, const std::string& program);

}  // namespace forkmend::command
