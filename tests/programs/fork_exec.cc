// exec after fork, with a pool alive: the new program begins from nothing.
//
//   fork_exec            forks, execs itself, N times; also by vfork, posix_spawn, system and popen
#include <spawn.h>

#include "tests/programs/pool.h"

extern char** environ;

namespace {

int executed() {
  // The new program has no lost thread and one of its own, and can have a pool.
  if (victim::count_tasks() != 1) return 51;
  auto* pool = new victim::Pool(2);
  if (const int code = pool->use(3, 1000, 10'000)) return code;
  _exit(pool->respawns() == 0 ? 0 : 52);
}

}  // namespace

int main(int, char** arguments) {
  if (victim::is(arguments[1], "executed")) return executed();
  char self[512];
  const ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
  self[size > 0 ? size : 0] = '\0';
  char mode[] = "executed";
  char* next[] = {self, mode, nullptr};

  auto* pool = new victim::Pool(4);
  for (int i = 0; i < 20; i++) {
    for (int job = 0; job < 10; job++) pool->submit(20'000);
    const pid_t forked = victim::spawn([&] { return execv(self, next); });
    const pid_t vforked = vfork();
    if (vforked == 0) {
      execv(self, next);
      _exit(1);
    }
    pid_t spawned;
    if (posix_spawn(&spawned, self, nullptr, nullptr, next, environ) != 0) _exit(2);
    for (const pid_t pid : {forked, vforked, spawned}) {
      if (const int code = victim::reap(pid)) _exit(code);
    }
  }
  char command[600];
  snprintf(command, sizeof command, "'%s' executed", self);
  if (system(command) != 0) _exit(3);
  FILE* pipe = popen(command, "re");
  if (pipe == nullptr || pclose(pipe) != 0) _exit(4);
  // None of it was a fork for the parent's pool.
  if (const int code = pool->use(10, 1000, 10'000)) _exit(code);
  _exit(pool->respawns() == 0 ? 0 : 5);
}
