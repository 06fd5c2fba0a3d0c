// What the command line asks for.
//
// Promises: the one unit that knows the parser; the options reach the subcommands as plain structs
// (command.h). What cannot be understood is said in one line on stderr.
#pragma once

#include <functional>
#include <string>

namespace forkmend::command {

struct CommandLine {
  // "forkmend run": who speaks; "forkmend" where nothing is left to do.
  std::string name = "forkmend";
  // Does it, and returns the exit status. For --help and for bad usage all has been said already.
  std::function<int()> action;
};

CommandLine read_command_line(int argc, char** argv);

}  // namespace forkmend::command
