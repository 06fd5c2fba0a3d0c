// The fork family. Waiting is done here, in the interposed call, before libc takes its own locks.
//
// Left out: system, popen and posix_spawn use CLONE_VFORK and share the parent's memory; clone()
// and SYS_fork are noticed by the wiped page.
#include "shim/base/load.h"
#include "shim/base/syscall.h"
#include "shim/forking/protocol.h"
#include "shim/interpose/interpose.h"

using namespace forkmend;

namespace {

template <class Fork>
pid_t forked(const void* caller, Fork&& call) {
  resolve_real_functions();
  if (!is_active()) return call();
  forking::Fork fork;
  forking::before(fork, caller);
  const pid_t pid = call();
  if (pid == 0) {
    forking::after_child(fork);
  } else {
    forking::after_parent(fork);
  }
  return pid;
}

}  // namespace

FORKMEND_EXPORT pid_t fork() {
  return forked(FORKMEND_CALLER, [] { return real().fork(); });
}

// libc's daemon and forkpty call its own fork: without these only the handlers would run.
FORKMEND_EXPORT pid_t forkpty(int* primary, char* name, const termios* settings,
                              const winsize* size) {
  return forked(FORKMEND_CALLER, [&] { return real().forkpty(primary, name, settings, size); });
}

// The parent ends inside the call; who returns is the child, or the parent after a failure.
FORKMEND_EXPORT int daemon(int nochdir, int noclose) {
  if (!is_active()) return real().daemon(nochdir, noclose);
  forking::Fork fork;
  forking::before(fork, FORKMEND_CALLER);
  const int result = real().daemon(nochdir, noclose);
  forking::after_daemon(fork);
  return result;
}

// Async-signal-safe and without handlers: so is what we do. Before glibc 2.34 there is none.
FORKMEND_EXPORT pid_t _Fork() {
  const pid_t pid = has_real_fork_without_handlers()
                        ? real()._Fork()
                        : static_cast<pid_t>(sys::call(SYS_clone, SIGCHLD));
  if (pid == 0 && is_active()) forking::after_child_bare(FORKMEND_CALLER);
  return pid;
}
