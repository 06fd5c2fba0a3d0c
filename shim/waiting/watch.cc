#include "shim/waiting/watch.h"

#include "shim/base/own_stack.h"
#include "shim/base/settings.h"
#include "shim/base/signals.h"
#include "shim/reporting/lockup.h"
#include "shim/reviving/trigger.h"
#include "shim/waiting/proof.h"
#include "shim/waiting/restart.h"

namespace forkmend::watch {
namespace {

// After the threshold a look is due whenever the wait has lasted half as long again: the process
// may change (another thread may get stuck too), and a thread that waits for hours looks a few
// dozen times.
Nanoseconds following(Nanoseconds waited) { return waited + waited / 2; }

// A look that comes so much later than planned that no load explains it: the process was stopped
// (SIGSTOP, a debugger, a frozen cgroup), and so was what would have ended the wait.
constexpr Nanoseconds kStopped = 500 * kMillisecond;

void look_held(Thread& t) {
  WatchState& w = t.watch;
  const Nanoseconds time = now();
  if (time - w.next > kStopped) w.since = time;  // when it was stopped is not known: anew
  const Nanoseconds waited = time - w.since;
  if (trigger::any()) trigger::still_blocked(t);
  if (waited < settings.grace) {
    w.next = w.since + settings.grace;
    return;
  }
  if (!w.reported) {
    Judgement judgement;
    judge(t, waited, judgement);
    if (judgement.verdict != Verdict::none) {
      w.reported = true;
      report_lockup(t, judgement);
    }
  }
  w.next = waited < settings.threshold ? w.since + settings.threshold : w.since + following(waited);
  if (w.next <= time) w.next = time + settings.grace + kMillisecond;
}

}  // namespace

void begin(Thread& t) {
  WatchState& w = t.watch;
  w.since = now();
  w.reported = false;
  w.next = w.since + (trigger::any() ? trigger::kPatience : settings.grace);
  t.wait.since = w.since;
}

Nanoseconds next_look(Thread& t) { return t.watch.next; }

// Before glibc 2.34 libc asks for the time through a symbol that others interpose: where it is
// shown a later one (libfaketime), each slice ends as it begins.
bool is_early(const WatchState& w) {
  const Nanoseconds left = w.next - now();
  if (left <= kMillisecond) return false;
  const timespec pause = to_timespec(kMillisecond);
  sys::call(SYS_nanosleep, sys::arg(&pause));
  return true;
}

bool look(Thread& t) {
  WatchState& w = t.watch;
  w.interrupted = false;
  if (is_early(w)) return false;
  {
    const sys::SignalsBlocked held(~(sys::kSynchronousSignals | sys::kLibcSignals));
    // Judging and reporting need more stack than the waiting thread may have left.
    if (!own_stack::run_large([&] { look_held(t); })) look_held(t);
    if (restart::would_end(held.pending())) w.interrupted = true;
  }
  return w.interrupted;
}

void end(Thread& t) { t.watch.reported = false; }

}  // namespace forkmend::watch
