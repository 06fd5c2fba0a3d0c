// The subcommands of `forkmend`, and how each says that it was asked for something impossible.
//
// Promises: one function per subcommand adds its options to the parser and, when it was the one
// chosen, leaves in `action` what is to be done. Bad input is a UserError: one line, an exit code.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace forkmend::command {

#ifndef FORKMEND_VERSION
#define FORKMEND_VERSION "0.1.0"
#endif
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

using Action = std::function<int()>;

// `after_dashes`: what follows the first "--", with it; the parser would take it for its own.
void add_run(CLI::App& app, Action& action, std::vector<std::string> after_dashes);
void add_report(CLI::App& app, Action& action);
void add_profiles(CLI::App& app, Action& action, std::vector<std::string> after_dashes);
void add_doctor(CLI::App& app, Action& action);

}  // namespace forkmend::command
