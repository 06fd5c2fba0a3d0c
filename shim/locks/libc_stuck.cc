#include "shim/locks/libc_stuck.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "shim/base/signals.h"
#include "shim/base/syscall.h"
#include "shim/threads/kernel_state.h"
#include "shim/waiting/blocking.h"

namespace forkmend::libc_stuck {
namespace {

// Between looks where the kernel gives no descriptor for a process (before Linux 5.3).
constexpr Nanoseconds kPause = kMillisecond;

// A process that makes the call and ends. No signal tells its end, so that the program's own wait()
// never sees it; handlers of the program's do not run in it.
class TrialProcess {
 public:
  explicit TrialProcess(libc_calls::Trial trial) {
    const sys::SignalsBlocked held(~0ul);
    constexpr long kNoSignalAtEnd = 0;
    pid_ = static_cast<int>(sys::call(SYS_clone, kNoSignalAtEnd));
    if (pid_ == 0) {
      sys::call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
      trial.call(trial.context);
      for (;;) sys::call(SYS_exit_group, 0);
    }
    if (pid_ > 0) fd_ = static_cast<int>(sys::call(SYS_pidfd_open, pid_, 0));
  }
  ~TrialProcess() {
    if (fd_ >= 0) sys::close(fd_);
    if (pid_ <= 0) return;
    sys::call(SYS_kill, pid_, SIGKILL);
    while (sys::call(SYS_wait4, pid_, 0, __WCLONE) == -EINTR) {
    }
  }
  TrialProcess(const TrialProcess&) = delete;
  TrialProcess& operator=(const TrialProcess&) = delete;

  // Waits for its end, at most until then (CLOCK_MONOTONIC). False: it has not ended.
  bool ended_by(Nanoseconds deadline) {
    while (pid_ > 0) {
      const long result = sys::call(SYS_wait4, pid_, 0, WNOHANG | __WCLONE);
      if (result == pid_ || result == -ECHILD) pid_ = 0;
      const Nanoseconds left = deadline - now();
      if (pid_ == 0 || left <= 0) break;
      rest(left);
    }
    return pid_ <= 0;
  }
  bool waits_for_lock() const { return process_activity(pid_).syscall == SYS_futex; }

 private:
  void rest(Nanoseconds left) const {
    const timespec time = to_timespec(fd_ >= 0 ? left : kPause);
    pollfd end{fd_, POLLIN, 0};
    sys::call(SYS_ppoll, sys::arg(&end), fd_ >= 0 ? 1 : 0, sys::arg(&time), 0);
  }

  int pid_;
  int fd_ = -1;
};

bool is_alone() { return threads::live().load(std::memory_order_relaxed) == 1; }

void forget(const LibcFunction& function) {
  while (Thread* lost = left_inside(function)) lost->libc_call.frame.store(nullptr);
}

}  // namespace

Thread* left_inside(const LibcFunction& function) {
  Thread* found = nullptr;
  threads::for_each_lost([&](Thread& t) {
    if (t.libc_call.frame.load(std::memory_order_relaxed) == nullptr) return true;
    if (strcmp(t.libc_call.function->lock, function.lock) == 0) found = &t;
    return found == nullptr;
  });
  return found;
}

void try_first(Thread& t, const LibcFunction& function, libc_calls::Trial trial,
               const void* caller) {
  if (!is_alone() || left_inside(function) == nullptr) return;
  const waiting::Blocking blocking(t, WaitCall::libc_call, &function, caller);
  watch::begin(t);
  TrialProcess process(trial);
  while (!process.ended_by(watch::next_look(t))) {
    if (!process.waits_for_lock()) break;  // it waits for something that may come
    watch::look(t);
    if (t.watch.reported) break;
  }
  watch::end(t);
  forget(function);  // tried once
}

}  // namespace forkmend::libc_stuck
