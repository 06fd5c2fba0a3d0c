// A library whose threads wait in system calls of its own (inline_pool.h): its parent's pool is
// used by a child. Its threads have to be stopped by a signal before the fork, wherever they are.
//
//   by_signal MODE [threads=N] [forks=N] [load=N]
//
// MODE is what the child does: submit, grandchild, never (touch it), masked (the parent's forks in
// a thread that blocks all signals), inside (the library itself forks); or what the program does:
// taken (it handles the signal itself before the library is used), takes (and after), runs (a
// thread is in libc's code at the fork). load=N: so many jobs are always at work or waiting.
#include "tests/programs/inline_pool.h"
#include "tests/programs/victim.h"

using namespace victim;

namespace {

constexpr int kSignal = 60;  // of the profile in tests/cases/by_signal.py
volatile sig_atomic_t own_signals = 0;

void on_signal(int) { own_signals = own_signals + 1; }

void handle_signal() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  if (sigaction(kSignal, &action, nullptr) != 0) set_up_failed("sigaction");
}

// 0, or the step that failed. `base` tells the processes apart.
int use(int base) {
  constexpr InlineWork kWork[] = {InlineWork::compute, InlineWork::allocate, InlineWork::sleep};
  InlineJob jobs[12];
  for (int i = 0; i < 12; i++) {
    jobs[i].work = kWork[i % 3];
    inline_submit(&jobs[i]);
  }
  for (InlineJob& job : jobs) inline_wait(&job);
  for (int i = 0; i < 20; i++) inline_poke();
  return inline_mistakes() == 0 ? 0 : base + 1;
}

int child(const char* mode, int threads) {
  if (is(mode, "never")) return count_tasks() == 1 ? 0 : 1;
  step("submits");
  const int failed = use(10);
  if (failed != 0 || !is(mode, "grandchild")) return failed;
  if (count_tasks() != threads + 2) return 12;
  return reap(spawn([] { return use(20); }));
}

}  // namespace

int main(int count, char** arguments) {
  const char* mode = count > 1 ? arguments[1] : "submit";
  int threads = 4, forks = 10, load = 0;
  for (int i = 2; i < count; i++) {
    if (sscanf(arguments[i], "threads=%d", &threads) + sscanf(arguments[i], "forks=%d", &forks) +
            sscanf(arguments[i], "load=%d", &load) <
        0)
      set_up_failed(arguments[i]);
  }
  if (is(mode, "taken")) handle_signal();
  if (inline_start(threads) != 0) set_up_failed("inline_start");
  if (is(mode, "takes")) handle_signal();
  if (use(30) != 0) return 31;
  if (is(mode, "masked")) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
  }
  auto* at_work = new InlineJob[static_cast<size_t>(load)];  // until the very end of the process
  for (int i = 0; i < load; i++) {
    InlineJob& job = at_work[i];
    job.work = i % 4 == 3 ? InlineWork::allocate : InlineWork::compute;
    job.again = true;
    inline_submit(&job);
  }
  InlineJob long_one;
  if (is(mode, "runs")) {
    long_one.work = InlineWork::fill;
    inline_submit(&long_one);
    while (long_one.begun.load() == 0) sched_yield();
  }
  for (int i = 0; i < forks; i++) {
    const pid_t pid = is(mode, "inside") ? inline_fork() : fork();
    if (pid < 0) set_up_failed("fork");
    if (pid == 0) {
      begin_child();
      _exit(child(mode, threads));
    }
    if (use(40) != 0) return 41;  // beside the child
    const int code = reap(pid);
    if (code != 0) return code;
  }
  if (own_signals != 0) return 50;  // nobody may send it to a program that handles it itself
  step("done", forks);
  return 0;
}
