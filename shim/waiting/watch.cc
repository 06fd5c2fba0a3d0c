#include "shim/waiting/watch.h"

#include "shim/base/settings.h"
#include "shim/reporting/lockup.h"
#include "shim/waiting/proof.h"

namespace forkmend::watch {
namespace {

// After the threshold a look is due whenever the wait has lasted half as long again: the process
// may change (another thread may get stuck too), and a thread that waits for hours looks a few
// dozen times.
Nanoseconds following(Nanoseconds waited) { return waited + waited / 2; }

}  // namespace

void begin(Thread& t) {
  WatchState& w = t.watch;
  const bool goes_on = w.spurious && w.object == t.wait.object &&
                       w.call == t.wait.call.load(std::memory_order_relaxed);
  w.spurious = false;
  if (!goes_on) {
    w.since = now();
    w.reported = false;
    w.next = w.since + settings.grace;
    w.object = t.wait.object;
    w.call = t.wait.call.load(std::memory_order_relaxed);
  }
  t.wait.since = w.since;
}

Nanoseconds next_look(Thread& t) { return t.watch.next; }

void look(Thread& t) {
  WatchState& w = t.watch;
  const Nanoseconds time = now();
  const Nanoseconds waited = time - w.since;
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

void end(Thread& t) {
  t.watch.spurious = false;
  t.watch.reported = false;
  t.watch.object = nullptr;
}

void spurious(Thread& t) { t.watch.spurious = true; }

}  // namespace forkmend::watch
