#include "shim/command/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "shim/command/command.h"
#include "shim/command/learn.h"
#include "shim/command/output.h"
#include "shim/version.h"

namespace forkmend::command {
namespace {

using Action = std::function<int()>;

// Each adds its subcommand and, when that is the one chosen, leaves in `action` what is to be done.
// `after_dashes`: what follows the first "--", with it; the parser would take it for its own.

void add_run(CLI::App& app, Action& action, std::vector<std::string> after_dashes) {
  auto options = std::make_shared<RunOptions>();
  options->after_dashes = std::move(after_dashes);
  CLI::App* run_app = app.add_subcommand(
      "run",
      "Run a program with forkmend preloaded: forkmend run [OPTIONS] -- PROGRAM [ARGUMENTS]");
  run_app->prefix_command();
  const auto add = [&](const char* name, std::string& value, const char* text, const char* what) {
    run_app->add_option(name, value, what)->option_text(text);
  };
  add("--policy", options->policy, "NAME:POLICY,...", "Change what is done for a runtime");
  add("--profiles", options->profiles, "[+-]NAME|FILE,...", "Add or remove profiles");
  add("--on-lockup", options->on_lockup, "WHAT",
      "After a lockup was reported: report (and go on waiting), abort, exit:N");
  add("--log", options->log, "LEVEL",
      "quiet, or info: also say what was recognised, drained and reset");
  add("--drain-ms", options->drain_ms, "MS", "How long fork waits for the safepoint at most");
  add("--dir", options->directory, "DIR", "Where reports are written");
  add("--config", options->config, "FILE", "A configuration file");
  add("--only", options->only, "PROGRAM,...", "Be active in these programs only");
  run_app->add_flag("--no-inherit", options->no_inherit,
                    "Keep the library from the programs that the program executes");
  add("--lib", options->library, "FILE", "The library to preload");
  run_app->footer(
      "Exits with the program's code; 125: forkmend run failed, 126: the program cannot be "
      "executed, 127: there is no such program.");
  run_app->callback([options, run_app, &action] {
    options->command = run_app->remaining();
    action = [options] { return run(*options); };
  });
}

void add_report(CLI::App& app, Action& action) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* report_app = app.add_subcommand(
      "report",
      "Explain what was reported: the lockups and the newest one in full, or the one named");
  report_app
      ->add_option("subject", options->subject,
                   "The id of a lockup or its beginning; a report file or directory; or a "
                   "process, whose threads are shown as they are now")
      ->option_text("[ID|FILE|DIR|PID]");
  report_app->add_flag("--json", options->json,
                       "Print events as JSON Lines, with frames in place of the stacks' bytes");
  report_app->add_flag("--exit-code", options->exit_code, "Exit with 1 if there are lockups");
  report_app
      ->add_option("--sysroot", options->sysroot,
                   "Where the process's files are: the root of its container")
      ->option_text("DIR");
  report_app->callback([options, &action] {
    if (!options->sysroot.empty() && options->sysroot.back() == '/') options->sysroot.pop_back();
    action = [options] { return report(*options); };
  });
}

void add_profiles(CLI::App& app, Action& action, std::vector<std::string> after_dashes) {
  CLI::App* profiles =
      app.add_subcommand("profiles", "List, show, check and learn the profiles of runtimes");
  profiles->require_subcommand(1);
  CLI::App* list_app = profiles->add_subcommand(
      "list", "Built-in profiles and those of files that FORKMEND_PROFILES names");
  list_app->callback([&action] { action = list_profiles; });

  auto name = std::make_shared<std::string>();
  CLI::App* show_app = profiles->add_subcommand("show", "All that one profile says");
  show_app->add_option("name", *name, "The profile's name")->required()->option_text("NAME");
  show_app->callback([name, &action] { action = [name] { return show_profile(*name); }; });

  auto files = std::make_shared<std::vector<std::string>>();
  CLI::App* check_app =
      profiles->add_subcommand("check", "Check profile and configuration files; 1: problems");
  check_app->add_option("files", *files, "Files, or directories of *.toml")
      ->required()
      ->option_text("FILE...");
  check_app->callback([files, &action] { action = [files] { return check_profiles(*files); }; });

  auto seconds = std::make_shared<int>(0);
  auto words = std::make_shared<std::vector<std::string>>(std::move(after_dashes));
  CLI::App* learn_app = profiles->add_subcommand(
      "learn",
      "Run a program, print the runtimes it has and a profile to start from: "
      "forkmend profiles learn [--seconds N] -- PROGRAM [ARGUMENTS]");
  learn_app->add_option("--seconds", *seconds, "End the program after so long (SIGTERM)")
      ->option_text("N")
      ->check(CLI::Range(1, 86400));
  learn_app->footer(
      "Exits with the program's code, or 128 + the signal that ended it; 126: the program cannot "
      "be "
      "executed, 127: there is no such program.");
  learn_app->callback([seconds, words, &action] {
    action = [seconds, words] {
      if (words->size() < 2)
        throw UserError("no program: write forkmend profiles learn -- PROGRAM [ARGUMENTS]");
      return learn({words->begin() + 1, words->end()}, *seconds);
    };
  });
}

void add_doctor(CLI::App& app, Action& action) {
  auto subject = std::make_shared<std::string>();
  auto library = std::make_shared<std::string>();
  CLI::App* doctor_app = app.add_subcommand(
      "doctor", "Check whether forkmend can work here, and for a program; 1: it cannot");
  doctor_app->add_option("program", *subject, "A command or a path")->option_text("[PROGRAM]");
  doctor_app->add_option("--lib", *library, "The library to check")->option_text("FILE");
  doctor_app->callback([subject, library, &action] {
    action = [subject, library] { return doctor(*library, *subject); };
  });
}

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

}  // namespace

CommandLine read_command_line(int argc, char** argv) {
  CommandLine out;
  CLI::App app("Makes thread runtimes survive fork, and explains what would still hang.",
               "forkmend");
  app.set_version_flag("--version", "forkmend " FORKMEND_VERSION, "Print the version");
  app.set_help_flag("-h,--help", "Print this help");
  app.require_subcommand(1);
  // The program's own arguments may look like ours.
  char** const end = argv + argc;
  const bool runs =
      (argc > 1 && std::strcmp(argv[1], "run") == 0) ||
      (argc > 2 && std::strcmp(argv[1], "profiles") == 0 && std::strcmp(argv[2], "learn") == 0);
  char** const dashes = std::find_if(
      argv, end, [runs](const char* argument) { return runs && std::strcmp(argument, "--") == 0; });
  add_run(app, out.action, {dashes, end});
  add_report(app, out.action);
  add_profiles(app, out.action, {dashes, end});
  add_doctor(app, out.action);

  try {
    app.parse(static_cast<int>(dashes - argv), argv);
    out.name = "forkmend " + app.get_subcommands().front()->get_name();
  } catch (const CLI::Success& success) {
    out.action = [code = app.exit(success)] { return code; };  // --help, --version: printed
  } catch (const CLI::ParseError& error) {
    out.action = [code = usage_error(app, error)] { return code; };
  }
  return out;
}

}  // namespace forkmend::command
