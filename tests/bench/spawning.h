// Times whole programs: from posix_spawn to the end of waitpid, or only the end of the program. The
// preload under measurement is put into the environment of the program, never into that of the
// process that holds the stopwatch.
#pragma once

#include "measure.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

extern char** environ;

namespace bench {

[[noreturn]] inline void give_up(const char* what, const char* about) {
  std::fprintf(stderr, "%s: %s\n", about, what);
  std::exit(1);
}

class Program {
 public:
  Program(char** arguments, const char* preload) : arguments_(arguments) {
    for (char** variable = environ; *variable; ++variable) environment_.push_back(*variable);
    if (*preload) environment_.push_back((preload_ += preload).data());
    environment_.push_back(nullptr);
  }

  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  double run_time() {
    const double start = nanoseconds();
    finish(spawn(nullptr));
    return nanoseconds() - start;
  }

  // From the timestamp that the program prints just before it calls exit, to the end of waitpid.
  double exit_time() {
    int ends[2];
    if (pipe(ends) != 0) give_up("no pipe", name());
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    const pid_t pid = spawn(&actions);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);

    char text[64] = {};
    if (read(ends[0], text, sizeof text - 1) <= 0) give_up("printed no timestamp", name());
    close(ends[0]);
    finish(pid);
    return nanoseconds() - std::strtod(text, nullptr);
  }

 private:
  const char* name() const { return arguments_[0]; }

  pid_t spawn(const posix_spawn_file_actions_t* actions) {
    pid_t pid = 0;
    const int error = posix_spawn(&pid, name(), actions, nullptr, arguments_, environment_.data());
    if (error != 0) give_up(std::strerror(error), name());
    return pid;
  }

  void finish(pid_t pid) const {
    int status = 0;
    if (waitpid(pid, &status, 0) != pid) give_up("cannot be waited for", name());
    if (status != 0) give_up("ended with a status other than 0", name());
  }

  char** arguments_;
  std::string preload_ = "LD_PRELOAD=";
  std::vector<char*> environment_;
};

}  // namespace bench
