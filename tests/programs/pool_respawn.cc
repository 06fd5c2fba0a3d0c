// The respawn callback: called once, and called again after it failed.
//
//   pool_respawn once       eight threads of the child enqueue at the same moment
//   pool_respawn eagain     no thread can be created (RLIMIT_NPROC, as nobody), then it can
//   pool_respawn never      a child that enqueues nothing is not given its threads back
//   pool_respawn order      before_fork in the parent, child in the child, stop at exit, each once
#include <sys/resource.h>

#include <thread>
#include <vector>

#include "tests/programs/pool.h"

namespace {

victim::Pool* pool;
const pid_t first = getpid();

int once() {
  constexpr int kThreads = 8;
  pool->on_respawn = [] {
    // Long enough for the others to come in meanwhile.
    const timespec pause{0, 50'000'000};
    nanosleep(&pause, nullptr);
    return 0;
  };
  pthread_barrier_t start;
  pthread_barrier_init(&start, nullptr, kThreads);
  std::vector<std::thread> threads;
  std::atomic<int> bad{0};
  for (int i = 0; i < kThreads; i++) {
    threads.emplace_back([&] {
      pthread_barrier_wait(&start);
      for (int job = 0; job < 10; job++) bad += pool->submit(1000) != 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (bad != 0) return 1;
  if (!pool->finish(10'000)) return 2;
  if (pool->respawns() != 1) return 3;
  return victim::count_tasks() == 1 + 4 ? 0 : 4;
}

int eagain() {
  victim::become_nobody();
  rlimit limit;
  getrlimit(RLIMIT_NPROC, &limit);
  rlimit tight = limit;
  tight.rlim_cur = 1;
  if (setrlimit(RLIMIT_NPROC, &tight) != 0) return 1;
  if (pool->submit(1000) != EAGAIN) return 2;
  if (pool->submit(1000) != EAGAIN) return 3;
  if (pool->respawns() != 2) return 4;
  setrlimit(RLIMIT_NPROC, &limit);
  // The work that was queued meanwhile is done with the rest.
  if (pool->submit(1000) != 0) return 5;
  if (!pool->finish(10'000)) return 6;
  return pool->respawns() == 3 ? 0 : 7;
}

int never() {
  if (victim::count_tasks() != 1) return 1;
  return pool->respawns() == 0 && pool->is_whole() ? 0 : 2;
}

}  // namespace

int main(int, char** arguments) {
  const char* mode = arguments[1];
  // Registered before the pool: it runs after the pool has stopped, as a destructor would.
  if (victim::is(mode, "order"))
    atexit([] { _exit(pool->stops() == (getpid() == first ? 1 : 0) ? 0 : 5); });
  pool = new victim::Pool(4);
  if (const int code = pool->use(10, 1000, 10'000)) return code;
  if (victim::is(mode, "order")) {
    const pid_t child = victim::spawn([] {
      if (pool->before_forks() != 1) return 1;
      if (pool->stops() != 0) return 2;
      exit(0);  // the exit phase does not ask a runtime to stop whose threads were lost
    });
    if (const int code = victim::reap(child)) return code;
    return 3;  // the handler has the last word
  }
  const pid_t child = victim::spawn([&] {
    return victim::is(mode, "once") ? once() : victim::is(mode, "eagain") ? eagain() : never();
  });
  const int code = victim::reap(child);
  if (code != 0) return code;
  return pool->use(10, 1000, 10'000);
}
