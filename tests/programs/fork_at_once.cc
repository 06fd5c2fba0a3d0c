// Eight threads of a registered runtime fork at once, each with a lock of its own held; another
// thread of the runtime holds one more, all the time. In each child the lock of the thread that
// forked is still held, by it; the one of the lost holder is open. A fork that hands its child what
// another fork noted opens the wrong one, or none.
//
//   fork_at_once ROUNDS
//
// Prints how many children found their own lock open ("opened-own"), and how many could not take
// the holder's ("left-held").
#include "include/forkmend/forkmend.h"

#include <atomic>

#include "tests/programs/victim.h"

namespace {

constexpr int kForkers = 8;

forkmend_runtime* runtime;  // null without the shim
long rounds;
pthread_barrier_t start;
pthread_mutex_t holders = PTHREAD_MUTEX_INITIALIZER;
victim::Event held;
std::atomic<long> opened_own{0}, left_held{0}, failed{0};

void adopt_this_thread() {
  if (runtime != nullptr && forkmend_adopt_thread(runtime) != 0) _exit(victim::kSetUpFailed);
}

void* hold(void*) {
  adopt_this_thread();
  pthread_mutex_lock(&holders);
  held.raise();
  victim::sleep_for_ever();
}

// The holder's first: a child's first lock is where what its entry opened is reported.
int child(pthread_mutex_t& own) {
  const bool holders_open = pthread_mutex_trylock(&holders) == 0;
  const bool own_held = pthread_mutex_trylock(&own) == EBUSY;
  return (holders_open ? 0 : 1) + (own_held ? 0 : 2);
}

void* fork_children(void*) {
  adopt_this_thread();
  pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&own);
  for (long i = 0; i < rounds; i++) {
    pthread_barrier_wait(&start);
    const int code = victim::reap(victim::spawn([&] { return child(own); }));
    if (code > 3) failed = code;
    if (code <= 3 && (code & 1) != 0) left_held++;
    if (code <= 3 && (code & 2) != 0) opened_own++;
  }
  pthread_mutex_unlock(&own);
  return nullptr;
}

}  // namespace

int main(int, char** arguments) {
  rounds = atol(arguments[1]);
  runtime = forkmend_register("at-once", nullptr, nullptr);
  pthread_t holder, forkers[kForkers];
  pthread_create(&holder, nullptr, hold, nullptr);
  held.wait();
  pthread_barrier_init(&start, nullptr, kForkers);
  for (pthread_t& forker : forkers) pthread_create(&forker, nullptr, fork_children, nullptr);
  for (const pthread_t forker : forkers) pthread_join(forker, nullptr);
  victim::step("opened-own", opened_own);
  victim::step("left-held", left_held);
  if (failed != 0) _exit(static_cast<int>(failed));
  _exit(opened_own == 0 && left_held == 0 ? 0 : 1);
}
