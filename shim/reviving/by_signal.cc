#include "shim/reviving/by_signal.h"

#include <errno.h>
#include <ucontext.h>

#include "shim/base/signals.h"
#include "shim/base/syscall.h"
#include "shim/base/text.h"
#include "shim/forking/gate.h"
#include "shim/forking/protocol.h"
#include "shim/reporting/event.h"
#include "shim/reviving/go.h"
#include "shim/reviving/resume.h"
#include "shim/waiting/restart.h"

namespace forkmend::by_signal {
namespace {

// A thread inside malloc or the like is asked again after this long.
constexpr Nanoseconds kPause = 50 * kMicrosecond;

FORKMEND_TLS int id_at_fork;  // of this thread, when it forked last

// In a child: the thread that forked goes on by itself, but has another id.
pthread_t forker;
int forker_was;

const void* interrupted_at(void* context) {
  const auto& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  return reinterpret_cast<const void*>(machine.gregs[REG_RIP]);
#else
  return reinterpret_cast<const void*>(machine.pc);
#endif
}

// Returns in the parent when the gate opens, and a second time in a child where the thread was
// made anew; then from the handler, with everything that the kernel had put into its frame.
void on_signal(int, siginfo_t*, void* context) {
  Thread* t = threads::self();
  Stack* s = t != nullptr ? t->stack.load(std::memory_order_relaxed) : nullptr;
  if (s == nullptr) return;
  const int error = errno;
  const void* at = interrupted_at(context);
  // In the library's own code no lock of libc's is held: libc calls none of it back.
  if (t->runtime != nullptr && t->runtime->signal != 0 && modules::find(at) == t->runtime->dso) {
    s->in_handler = true;
    gate::stop(*t, at);
    s->in_handler = false;
  }
  s->asked.store(false);
  errno = error;
}

bool is_ours(const sys::KernelSigaction& action) {
  return reinterpret_cast<const void*>(action.handler) == reinterpret_cast<const void*>(on_signal);
}

bool reserve(int signal) {
  sys::KernelSigaction present{};
  if (!sys::read_action(signal, present)) return false;
  if (is_ours(present)) return true;
  if (present.handler != SIG_DFL) return false;
  struct sigaction action {};
  action.sa_sigaction = on_signal;
  // Go and others run on stacks too small for a signal frame; a wait that can be restarted is.
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  if (sigaction(signal, &action, nullptr) != 0) return false;
  restart::leave_out(signal);
  return true;
}

void switch_off(Runtime& r, std::string_view what) {
  Text<160> reason;
  reason.format("signal {}, which the profile of {} names, {}; name another", r.signal, r.name,
                what);
  report_off("resume by signal", reason.view());
  r.signal = 0;
  r.policy = Policy::report;
}

}  // namespace

void prepare(Runtime& r) {
  // A thread that cannot be resumed need not be stopped.
  if (!resume::possible_here()) {
    r.policy = Policy::report;
    return;
  }
  r.signal = r.profile->signal;
  if (!reserve(r.signal)) switch_off(r, "is handled or ignored by the program");
  if (r.policy == Policy::resume && go::is_go(*r.dso) && !go::watch_calls(*r.dso))
    r.policy = Policy::eager;
}

void unblock(const Thread& t) {
  const unsigned long mask = sys::signal_bit(t.runtime->signal);
  sys::call(SYS_rt_sigprocmask, SIG_UNBLOCK, sys::arg(&mask), 0, sizeof mask);
}

void before_fork() {
  bool any = false;
  runtimes::for_each([&](Runtime& r) {
    if (r.signal == 0 || r.live.load(std::memory_order_relaxed) == 0) return;
    sys::KernelSigaction present{};
    if (!sys::read_action(r.signal, present) || !is_ours(present))
      return switch_off(r, "was taken by the program after the library was loaded");
    any = true;
    // To ask takes a mutex of Go's (up to 1.20), which in a child may be a lost thread's.
    const bool may_ask = threads::generation.load() == 0;
    if (may_ask && r.policy == Policy::resume && go::is_go(*r.dso) && !go::watches_calls(*r.dso))
      r.policy = Policy::eager;  // the program has set a context function of its own
  });
  if (any) id_at_fork = sys::gettid();
}

void after_fork_child(const ChildEntry&) {
  if (id_at_fork == 0) return;
  forker = pthread_self();
  forker_was = id_at_fork;
}

void ask(const Thread& t, Nanoseconds at) {
  Stack* s = t.stack.load();
  const int tid = t.tid.load(std::memory_order_relaxed);
  if (s == nullptr || tid == 0 || t.state.load() != ThreadState::running) return;
  if (at < s->asked_at) s->asked_at = 0;  // of an earlier fork
  if (s->asked_at != 0 && at - s->asked_at < kPause) return;
  if (s->asked.exchange(true)) return;
  s->asked_at = at;
  if (sys::call(SYS_tgkill, sys::getpid(), tid, t.runtime->signal) < 0) s->asked.store(false);
}

bool forked_by(const Runtime& r) {
  if (r.signal == 0) return false;
  const Thread* self = threads::self();
  return (self != nullptr && self->runtime == &r) ||
         (r.dso != nullptr && modules::find(forking::origin().caller) == r.dso);
}

void went_on(const Thread& t, int id_before) {
  go::renew_id(t.handle, id_before, t.tid.load(std::memory_order_relaxed));
}

void forker_went_on() { go::renew_id(forker, forker_was, sys::getpid()); }

}  // namespace forkmend::by_signal
