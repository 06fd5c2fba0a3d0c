// forkmend: runs programs under the shared object, and explains what it reported.
#include <cstdio>
#include <exception>
#include <string>

#include "shim/command/command.h"
#include "shim/command/command_line.h"
#include "shim/command/output.h"

namespace forkmend::command {
namespace {

int main_of(int argc, char** argv) {
  const CommandLine line = read_command_line(argc, argv);
  try {
    const int code = line.action();
    if (std::fflush(stdout) == 0) return code;
    complain(line.name, "the output could not be written: check the disk or the pipe");
  } catch (const UserError& error) {
    std::fflush(stdout);
    complain(line.name, error.what());
    return error.exit_code();
  } catch (const std::exception& error) {
    std::fflush(stdout);
    complain(line.name, std::string("failed: ") + error.what());
  }
  return line.name == "forkmend run" ? kExitOwn : kExitUsage;
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
