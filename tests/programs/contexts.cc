// Locks, waits, threads and forks on stacks that makecontext made, and on an alternate signal
// stack.
//
//   contexts switch | fork | handler
#include <ucontext.h>

#include "tests/programs/ordinary.h"

namespace {

constexpr size_t kStack = 256 * 1024;
ucontext_t home, one, two;
alignas(16) char stack_one[kStack], stack_two[kStack];
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t never = PTHREAD_COND_INITIALIZER;
int result = 90, turns;

// A lock that is taken on one stack, with a wait that runs into its time-out, and given back on the
// other.
void take() {
  for (int round = 0; round < 100; round++) {
    const timespec past{0, 0};
    pthread_mutex_lock(&mutex);
    if (pthread_cond_timedwait(&never, &mutex, &past) != ETIMEDOUT) result = 91;
    swapcontext(&one, &two);
  }
}
void give_back() {
  for (;;) {
    if (pthread_mutex_unlock(&mutex) != 0) result = 92;
    turns++;
    swapcontext(&two, &one);
  }
}

void make(ucontext_t& context, char* stack, void (*start)()) {
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = kStack;
  context.uc_link = &home;
  makecontext(&context, start, 0);
}

void work_there() { result = ordinary::work(); }

// The child goes on where the fork was made, returns to the first stack, and leaves by exit.
void fork_there() {
  const pid_t child = fork();
  if (child == 0) {
    result = ordinary::serve_all(2, nullptr);
    setcontext(&home);
  }
  result = child < 0 ? 97 : ordinary::result_of(child);
}

volatile sig_atomic_t handled;
void work_in_handler(int) {
  result = ordinary::work();
  handled = 1;
}

int on_signal_stack() {
  const stack_t alternate{stack_one, 0, kStack};
  struct sigaction action {};
  action.sa_handler = work_in_handler;
  action.sa_flags = SA_ONSTACK;
  if (sigaltstack(&alternate, nullptr) != 0 || sigaction(SIGUSR1, &action, nullptr) != 0) return 93;
  raise(SIGUSR1);
  return handled == 1 ? result : 94;
}

}  // namespace

int main(int, char** arguments) {
  pthread_t sleeper;
  if (pthread_create(&sleeper, nullptr, ordinary::sleep_until_cancelled, nullptr) != 0) return 95;
  if (victim::is(arguments[1], "handler")) return on_signal_stack();
  if (victim::is(arguments[1], "fork")) {
    make(one, stack_one, fork_there);
    swapcontext(&home, &one);
    return result;
  }
  make(one, stack_one, work_there);
  swapcontext(&home, &one);
  if (result != 0) return result;
  make(one, stack_one, take);
  make(two, stack_two, give_back);
  swapcontext(&home, &one);
  return turns == 100 ? result : 96;
}
