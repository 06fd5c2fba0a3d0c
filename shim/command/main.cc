// forkmend: runs programs under the shared object, and explains what it reported.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>

#include "shim/command/command.h"
#include "shim/command/output.h"

namespace forkmend::command {
namespace {

// The parser's messages on one line, and where to read more.
int usage_error(const CLI::App& app, const CLI::ParseError& error) {
  std::string name = "forkmend";
  int code = kExitUsage;
  for (const CLI::App* at = &app; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    name += " " + at->get_name();
    if (at->get_name() == "run") code = kExitOwn;
  }
  std::string text = error.what();
  if (name == "forkmend" && !app.remaining().empty() && app.remaining().front().front() != '-') {
    text = "unknown subcommand \"" + app.remaining().front() + "\"";
  }
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  complain(name, text + "; see " + name + " --help");
  return code;
}

int main_of(int argc, char** argv) {
  CLI::App app("Makes thread runtimes survive fork, and explains what would still hang.",
               "forkmend");
  app.set_version_flag("--version", "forkmend " FORKMEND_VERSION, "Print the version");
  app.set_help_flag("-h,--help", "Print this help");
  app.require_subcommand(1);
  Action action;
  // The program's own arguments may look like ours.
  char** const end = argv + argc;
  const bool runs =
      (argc > 1 && std::strcmp(argv[1], "run") == 0) ||
      (argc > 2 && std::strcmp(argv[1], "profiles") == 0 && std::strcmp(argv[2], "learn") == 0);
  char** const dashes = std::find_if(
      argv, end, [runs](const char* argument) { return runs && std::strcmp(argument, "--") == 0; });
  add_run(app, action, {dashes, end});
  add_report(app, action);
  add_profiles(app, action, {dashes, end});
  add_doctor(app, action);

  try {
    app.parse(static_cast<int>(dashes - argv), argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);  // --help, --version
  } catch (const CLI::ParseError& error) {
    return usage_error(app, error);
  }
  const std::string name = "forkmend " + app.get_subcommands().front()->get_name();
  try {
    const int code = action();
    if (std::fflush(stdout) == 0) return code;
    complain(name, "the output could not be written: check the disk or the pipe");
  } catch (const UserError& error) {
    std::fflush(stdout);
    complain(name, error.what());
    return error.exit_code();
  } catch (const std::exception& error) {
    std::fflush(stdout);
    complain(name, std::string("failed: ") + error.what());
  }
  return name == "forkmend run" ? kExitOwn : kExitUsage;
}

}  // namespace
}  // namespace forkmend::command

int main(int argc, char** argv) {
  try {
    return forkmend::command::main_of(argc, argv);
  } catch (...) {
    std::fputs("forkmend: failed before it could begin: out of memory?\n", stderr);
    return forkmend::command::kExitOwn;
  }
}
