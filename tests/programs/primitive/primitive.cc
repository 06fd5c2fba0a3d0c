// Every primitive of libc's and libstdc++'s, in every state in which a fork may find it: is it
// usable in the child?
//
//   primitive NAME STATE    exits with the child's code: 0, the step that failed, or 99 for a hang
//   primitive list          one line each: NAME STATE SETTING HARM
//
// States: held (a lost thread holds it), own (the forking thread does; own-wanted: a thread of the
// child waits for it; …-wanted-by-…: lost threads do), registered (a thread of a registered runtime
// does), waiting (a lost thread waits on it), inside (a lost thread is inside),
// running (the thread meant is lost), starting (as running, but it most likely has not begun yet).
// SETTING is what the cure needs: - or reset (FORKMEND_ORPHANS=reset), or keep: that set, and
// nothing may be opened. HARM is on which libc the
// child hangs or fails without the shim: always, never (it must stay well), >=2.43, <2.35 …
#include "tests/programs/primitive/primitive.h"
#include <errno.h>

namespace primitive {
namespace {

struct Case {
  const char* name;
  const char* state;
  const char* setting;
  const char* harm;
  int (*run)();
};

constexpr Case kCases[] = {
    {"mutex-normal", "held", "reset", "always", lock_case},
    {"mutex-recursive", "held", "reset", "always", lock_case},
    {"mutex-errorcheck", "held", "reset", "always", lock_case},
    {"mutex-adaptive", "held", "reset", "always", lock_case},
    {"mutex-robust", "held", "reset", "always", lock_case},
    {"mutex-pi", "held", "reset", "always", lock_case},
    {"mutex-pi-recursive", "held", "reset", "always", lock_case},
    {"mutex-pi-errorcheck", "held", "reset", "always", lock_case},
    {"mutex-pi-robust", "held", "reset", "always", lock_case},
    {"mtx-plain", "held", "reset", "always", lock_case},
    {"mtx-recursive", "held", "reset", "always", lock_case},
    {"mutex-timed", "held", "reset", "always", lock_case},
    {"mutex-try", "held", "reset", "always", lock_case},
    {"mtx-timed", "held", "reset", "always", lock_case},
    {"rwlock-of-writer-read", "held", "reset", "always", lock_case},
    {"rwlock-of-writer-write", "held", "reset", "always", lock_case},
    {"rwlock-of-writer-timed", "held", "reset", "always", lock_case},
    {"rwlock-of-writer-try", "held", "reset", "always", lock_case},
    {"rwlock-of-writer-write", "held-wanted-by-reader", "reset", "always", lock_case},
    {"rwlock-of-writer-write", "held-wanted-by-writer", "reset", "always", lock_case},
    {"rwlock-of-writer-read", "held-wanted-by-both", "reset", "always", lock_case},
    {"mutex-normal", "registered", "-", "always", lock_case},
    {"mutex-recursive", "registered", "-", "always", lock_case},
    {"mutex-errorcheck", "registered", "-", "always", lock_case},
    {"mutex-adaptive", "registered", "-", "always", lock_case},
    {"mutex-robust", "registered", "-", "always", lock_case},
    {"mutex-pi", "registered", "-", "always", lock_case},
    {"mutex-pi-recursive", "registered", "-", "always", lock_case},
    {"mutex-pi-errorcheck", "registered", "-", "always", lock_case},
    {"mutex-pi-robust", "registered", "-", "always", lock_case},
    {"mtx-plain", "registered", "-", "always", lock_case},
    {"mtx-recursive", "registered", "-", "always", lock_case},
    {"rwlock-of-writer-read", "registered", "-", "always", lock_case},
    {"rwlock-of-writer-write", "registered", "-", "always", lock_case},
    {"rwlock-of-reader-write", "registered", "-", "always", lock_case},
    {"spin", "registered", "-", "always", lock_case},
    {"sem", "registered", "-", "always", lock_case},
    {"mutex-normal", "own", "-", "never", lock_case},
    {"mutex-recursive", "own", "-", "always", lock_case},
    {"mutex-errorcheck", "own", "-", "always", lock_case},
    {"mutex-adaptive", "own", "-", "never", lock_case},
    {"mutex-robust", "own", "-", "always", lock_case},
    {"mutex-pi", "own", "-", "always", lock_case},
    {"mutex-pi-recursive", "own", "-", "always", lock_case},
    {"mutex-pi-errorcheck", "own", "-", "always", lock_case},
    {"mutex-pi-robust", "own", "-", "always", lock_case},
    {"mtx-plain", "own", "-", "never", lock_case},
    {"mtx-recursive", "own", "-", "always", lock_case},
    {"rwlock-of-writer-write", "own", "-", "always", lock_case},
    {"rwlock-of-reader-write", "own", "-", "never", lock_case},
    {"rwlock-of-writer-write", "own-wanted-by-reader", "-", "always", lock_case},
    {"rwlock-of-writer-write", "own-wanted-by-writer", "-", "always", lock_case},
    {"rwlock-of-writer-read", "own-wanted-by-both", "-", "always", lock_case},
    {"rwlock-of-reader-write", "own-wanted-by-writer", "-", "always", lock_case},
    {"mutex-recursive", "own-wanted", "-", "always", lock_case},
    {"mutex-robust", "own-wanted", "-", "always", lock_case},
    {"mutex-pi", "own-wanted", "-", "always", lock_case},
    {"mutex-pi-robust", "own-wanted", "-", "always", lock_case},
    {"rwlock-of-writer-read", "own-wanted", "-", "always", lock_case},
    {"rwlock-of-writer-write", "own-wanted", "-", "always", lock_case},
    {"mutex-recursive", "grandchild", "-", "always", grandchild_case},
    {"mutex-shared", "held", "keep", "never", shared_case},
    {"mutex-shared-robust", "held", "keep", "never", shared_case},
    {"rwlock-shared", "held", "keep", "never", shared_case},
    {"sem-shared", "held", "keep", "never", shared_case},
    {"mutex-shared", "registered", "keep", "never", shared_case},
    {"mutex-shared-robust", "registered", "keep", "never", shared_case},
    {"rwlock-shared", "registered", "keep", "never", shared_case},
    {"sem-shared", "registered", "keep", "never", shared_case},
    {"pthread_join", "running", "-", ">=2.43", join_case},
    {"pthread_tryjoin_np", "running", "-", ">=2.43", join_case},
    {"pthread_timedjoin_np", "running", "-", ">=2.43", join_case},
    {"pthread_clockjoin_np", "running", "-", ">=2.43", join_case},
    {"thrd_join", "running", "-", ">=2.43", join_case},
    {"pthread_join-own-stack", "running", "-", "always", join_case},
    {"pthread_join-own-stack", "starting", "-", "always", join_case},
    {"pthread_kill", "running", "-", ">=2.34", handle_case},
    {"pthread_kill-0", "running", "-", ">=2.34", handle_case},
    {"pthread_sigqueue", "running", "-", "never", handle_case},
    {"pthread_cancel", "running", "-", ">=2.34", handle_case},
    {"pthread_detach", "running", "-", "always", handle_case},
    {"tgkill", "running", "-", "never", handle_case},
    {"handle", "reused", "-", "always", reused_case},
    {"pthread_cond_signal", "waiting", "-", "always", cond_case},
    {"pthread_cond_broadcast", "waiting", "-", "<2.41", cond_case},
    {"pthread_cond_timedwait", "waiting", "-", "always", cond_case},
    {"pthread_cond_destroy", "waiting", "-", "always", cond_case},
    {"pthread_cond_all", "waiting", "-", "always", cond_case},
    {"cnd_signal", "waiting", "-", "always", cond_case},
    {"cnd_broadcast", "waiting", "-", "<2.41", cond_case},
    {"cnd_destroy", "waiting", "-", "always", cond_case},
    {"pthread_barrier_wait", "waiting", "-", "always", barrier_case},
    {"pthread_barrier_destroy", "waiting", "-", "always", barrier_case},
    {"std::thread::join", "running", "-", ">=2.43", std_thread_case},
    {"std::thread::detach", "running", "-", "never", std_thread_case},
    {"std::future", "running", "-", ">=2.43", future_case},
    {"std::condition_variable", "waiting", "-", "always", condition_case},
#if __has_include(<semaphore>)
    {"std::counting_semaphore", "waiting", "-", "never", counting_case},
#endif
    {"pthread_once", "inside", "-", "never", initialiser_case},
    {"static-initialiser", "inside", "reset", "always", initialiser_case},
    {"dl_iterate_phdr", "inside", "-", "always", loader_case},
    {"throw", "inside", "-", "<2.35", loader_case},
    {"dl_iterate_phdr", "own", "-", "always", loader_own_case},
    {"throw", "own", "-", "<2.35", loader_own_case},
};

}  // namespace
}  // namespace primitive

int main(int count, char** arguments) {
  using namespace primitive;
  using victim::is;
  if (count == 2 && is(arguments[1], "list")) {
    for (const Case& c : kCases) printf("%s %s %s %s\n", c.name, c.state, c.setting, c.harm);
    return 0;
  }
  if (count != 3) victim::set_up_failed("usage: primitive NAME STATE");
  name = arguments[1];
  state = arguments[2];
  for (const Case& c : kCases) {
    if (is(c.name, name) && is(c.state, state)) _exit(c.run());
  }
  victim::set_up_failed("no such case");
}