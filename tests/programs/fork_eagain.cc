// fork fails with EAGAIN (RLIMIT_NPROC, as nobody): errno is the program's, the gate is open again
// and the pool goes on; then fork works.
#include <sys/resource.h>

#include "tests/programs/pool.h"

int main() {
  victim::become_nobody();
  auto* pool = new victim::Pool(4);
  rlimit limit;
  getrlimit(RLIMIT_NPROC, &limit);
  rlimit tight = limit;
  tight.rlim_cur = 1;
  setrlimit(RLIMIT_NPROC, &tight);
  for (int i = 0; i < 100; i++) {
    errno = 0;
    const pid_t pid = fork();
    if (pid == 0) _exit(0);
    if (pid != -1) _exit(1);
    if (errno != EAGAIN) _exit(2);
    if (const int code = pool->use(3, 1000, 10'000)) _exit(code);
  }
  setrlimit(RLIMIT_NPROC, &limit);
  const pid_t child = victim::spawn([&] { return pool->use(3, 1000, 10'000); });
  if (const int code = victim::reap(child)) _exit(code + 20);
  _exit(pool->respawns() == 0 ? 0 : 3);
}
