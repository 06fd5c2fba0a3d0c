// A child of a child of a child …: each generation forks with threads alive, and each works.
//
//   fork_depth N            N generations, each with a thread of its own and a pool it brings back
//   fork_depth N orphan     and the last one meets a lock that the first one's thread holds
#include <thread>

#include "tests/programs/pool.h"

namespace {

victim::Pool* pool;
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

int generation(int left, bool orphan) {
  if (const int code = pool->use(5, 1000, 10'000)) return code;
  std::thread(victim::sleep_for_ever).detach();
  if (left == 0) {
    if (orphan) victim::step("locks");
    return orphan ? pthread_mutex_lock(&mutex) : 0;
  }
  return victim::reap(victim::spawn([&] { return generation(left - 1, orphan); }));
}

}  // namespace

int main(int, char** arguments) {
  pool = new victim::Pool(2);
  const bool orphan = victim::is(arguments[2], "orphan");
  victim::Event held;
  std::thread([&] {
    if (orphan) pthread_mutex_lock(&mutex);
    held.raise();
    victim::sleep_for_ever();
  }).detach();
  held.wait();
  _exit(generation(atoi(arguments[1]), orphan));
}
