// The other ways to fork, with a pool alive: forkpty and daemon call libc's own fork, so that an
// interposed one never sees them.
//
//   fork_kinds forkpty|daemon
#include <pty.h>
#include <utmp.h>

#include "tests/programs/pool.h"

namespace {

int through_forkpty(victim::Pool& pool) {
  for (int i = 0; i < 20; i++) {
    for (int job = 0; job < 10; job++) pool.submit(20'000);
    int primary;
    const pid_t pid = forkpty(&primary, nullptr, nullptr, nullptr);
    if (pid == 0) {
      victim::begin_child();
      _exit(pool.use(5, 1000, 10'000));
    }
    const int code = victim::reap(pid);
    close(primary);
    if (code != 0) return code;
  }
  return pool.use(10, 1000, 10'000);
}

// The daemon is nobody's child: it says how it went through a pipe, and its end closes the pipe.
int through_daemon(victim::Pool& pool) {
  int ends[2];
  if (pipe(ends) != 0) return 1;
  const pid_t middle = victim::spawn([&] {
    if (pool.use(5, 1000, 10'000) != 0) return 2;
    for (int job = 0; job < 10; job++) pool.submit(20'000);
    if (daemon(1, 1) != 0) return 3;
    close(ends[0]);
    alarm(20);
    const char code = static_cast<char>(pool.use(5, 1000, 10'000));
    return write(ends[1], &code, 1) == 1 ? 0 : 4;
  });
  close(ends[1]);
  if (const int code = victim::reap(middle)) return code;
  pollfd answer{ends[0], POLLIN, 0};
  if (poll(&answer, 1, 20'000) != 1) return victim::kHung;
  char code;
  return read(ends[0], &code, 1) == 1 ? code : 5;
}

}  // namespace

int main(int, char** arguments) {
  auto* pool = new victim::Pool(4);
  _exit(victim::is(arguments[1], "daemon") ? through_daemon(*pool) : through_forkpty(*pool));
}
