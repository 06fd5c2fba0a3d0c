#include "shim/waiting/proof.h"

#include "shim/base/mapping.h"
#include "shim/base/settings.h"
#include "shim/base/signals.h"
#include "shim/base/syscall.h"
#include "shim/locks/initialisers.h"
#include "shim/locks/layout.h"
#include "shim/locks/libc_stuck.h"
#include "shim/locks/orphan.h"
#include "shim/python/bridge.h"
#include "shim/runtimes/runtime.h"
#include "shim/threads/kernel_state.h"
#include "shim/waiting/handover.h"
#include "shim/waiting/restart.h"

namespace forkmend {
namespace {

// Handlers of faults cannot end a wait: the thread that waits does not fault. Rust's standard
// library and faulthandler install such.
constexpr unsigned long kFaults =
    (sys::kSynchronousSignals & ~sys::signal_bit(SIGSYS)) | sys::signal_bit(SIGABRT);

// CPython's own handler only makes a note. What Python code is to be run for it the main thread
// runs, in the interpreter: not while it waits in a library. A semaphore there is another matter:
// its wait ends with EINTR, and the library may ask for the interpreter's notes.
bool python_handlers_cannot_run() {
  const Thread* main = nullptr;
  const int pid = sys::getpid();
  threads::for_each_live([&](Thread& t) {
    if (t.tid.load(std::memory_order_relaxed) == pid) main = &t;
    return main == nullptr;
  });
  if (main == nullptr || main->wait.call.load() == WaitCall::none) return false;
  return main->wait.call.load() != WaitCall::sem_wait &&
         !python::is_interpreters(main->wait.caller);
}

// What a handler does nobody knows: it posts a semaphore, jumps, or ends the process as a healthy
// worker does that is told to. Handlers written in Python do not keep a verdict from being
// *likely*: every worker of every server has them, and waits in Event.wait for a lost thread too.
bool handler_could_end_it(Verdict verdict) {
  const auto never = [](const void*) { return false; };
  const bool not_pythons = verdict == Verdict::likely || python_handlers_cannot_run();
  return restart::any_handler(kFaults | python::reserved_signals(),
                              not_pythons ? python::is_interpreters : never);
}

// A live thread that waits for ever for something of this process's own can end nothing. It may go
// on at any moment, so that only the mapping of what it waits for is looked at.
bool stands_still(const Thread& t) {
  switch (t.wait.call.load()) {
    case WaitCall::mutex_lock:
    case WaitCall::rwlock_rdlock:
    case WaitCall::rwlock_wrlock:
    case WaitCall::cond_wait:
    case WaitCall::sem_wait:
    case WaitCall::futex:
    case WaitCall::join:
      return t.wait.timeout == Timeout::none && !in_shared_memory(t.wait.object);
    default:
      return false;
  }
}

// True if every thread of this process is known and stands still. `others`: how many besides
// `self`.
bool all_stand_still(const Thread& self, int& others) {
  bool still = true;
  int known = 0;
  threads::for_each_live([&](Thread& t) {
    known++;
    still = &t == &self || stands_still(t);
    return still;
  });
  others = known - 1;
  // A thread made by raw clone() has no record: what it could do is not known.
  return still && count_tasks() == known;
}

bool object_is_private(const Wait& wait) {
  switch (wait.call.load()) {
    case WaitCall::cond_wait:
      return layout::cond_known() &&
             !layout::cond_shared(static_cast<const pthread_cond_t*>(wait.object));
    case WaitCall::sem_wait:
      return layout::sem_known() && !layout::sem_shared(static_cast<const sem_t*>(wait.object));
    case WaitCall::futex:
      return !in_shared_memory(wait.object);
    default:
      return true;  // the callers slice private locks only
  }
}

// What a verdict rests on where no lost thread owns the object: nothing that lives could end the
// wait, no thread of this process, no other process, no signal handler.
bool nothing_live_could_end(const Thread& t, Verdict verdict, int& others) {
  return all_stand_still(t, others) && object_is_private(t.wait) && !handler_could_end_it(verdict);
}

const char* name_of(const Thread& t) { return t.name[0] != '\0' ? t.name : "unnamed"; }

void blame(Judgement& out, const Thread& lost, const char* cause) {
  out.verdict = Verdict::certain;
  out.cause = cause;
  out.culprit = &lost;
  out.runtime = lost.runtime;
}

bool judge_orphan(const Wait& wait, Judgement& out) {
  const Thread* owner = nullptr;
  const char* what = "mutex";
  if (wait.call.load() == WaitCall::mutex_lock) {
    owner = locks::orphan_owner(static_cast<const pthread_mutex_t*>(wait.object));
  } else {
    owner = locks::orphan_owner(static_cast<const pthread_rwlock_t*>(wait.object));
    what = "read-write lock";
  }
  if (owner == nullptr) return false;
  blame(out, *owner, "orphaned-lock");
  out.add("orphaned-lock")
      .format(
          "tid {} holds the {} and is no thread of {}; its record (generation {}, serial {}) is "
          "lost",
          owner->tid.load(), what, sys::getpid(), owner->generation(), owner->serial());
  return true;
}

bool judge_initialiser(const Wait& wait, Judgement& out) {
  const Thread* lost = initialisers::left_by(wait.object);
  if (lost == nullptr) return false;
  blame(out, *lost, "half-run-initialiser");
  out.add("half-run-initialiser")
      .format("\"{}\" (tid {}) was running the static initialiser and did not survive the fork",
              name_of(*lost), lost->tid.load());
  return true;
}

// Only this thread is left, and a call of the same kind was seen to wait for a lock (libc_stuck.h).
bool judge_libc_call(const Wait& wait, Judgement& out) {
  const auto& function = *static_cast<const LibcFunction*>(wait.object);
  const Thread* lost = libc_stuck::left_inside(function);
  if (lost == nullptr) return false;
  blame(out, *lost, "libc-lock");
  out.add("libc-lock")
      .format(
          "\"{}\" (tid {}) was inside {} at the fork and did not survive; it has libc's lock of {}",
          name_of(*lost), lost->tid.load(), lost->libc_call.function->name, function.lock);
  out.add("tried").format("{} was called in a process of its own, and waits for that lock",
                          function.name);
  return true;
}

void add_alone(Judgement& out, int others) {
  if (others == 0) {
    out.add("one-thread").append("this process has 1 thread, and it is the one that waits");
  } else {
    out.add("all-wait")
        .format("the other {} thread(s) of this process wait without a timeout too", others);
  }
}

// (b): the object is tied to a lost thread.
bool judge_tied(const Thread& t, Judgement& out) {
  const Wait& wait = t.wait;
  // Semaphores and futexes are recycled at the same address (CPython makes one a wait), so that
  // only a condition variable is tied to its last signaller.
  const bool is_cond = wait.call.load() == WaitCall::cond_wait;
  const Thread* signaller = is_cond ? handover::lost_signaller(wait.object) : nullptr;
  const Thread* waiter = handover::lost_waiter(wait.object);
  if (signaller == nullptr && waiter == nullptr) return false;
  int others = 0;
  if (!nothing_live_could_end(t, Verdict::certain, others)) return false;
  if (signaller != nullptr) {
    blame(out, *signaller, "lost-signaller");
    out.add("lost-signaller")
        .format("before the fork \"{}\" (tid {}) signalled this {}; it did not survive",
                name_of(*signaller), signaller->tid.load(), object_kind(wait.call.load()));
  } else {
    blame(out, *waiter, "lost-waiter");
    out.add("lost-waiter")
        .format("\"{}\" (tid {}) was parked on this {} at the fork and did not survive",
                name_of(*waiter), waiter->tid.load(), object_kind(wait.call.load()));
  }
  add_alone(out, others);
  out.add("private").format("the {} is private: no other process can end the wait",
                            object_kind(wait.call.load()));
  return true;
}

void judge_handed_over(const Thread& t, Judgement& out) {
  const Wait& wait = t.wait;
  const handover::Evidence* evidence = handover::first();
  if (evidence == nullptr) return;
  const Runtime* r = evidence->runtime;
  if (r != nullptr && r->policy == Policy::leave) return;
  int others = 0;
  if (!nothing_live_could_end(t, Verdict::likely, others)) return;
  out.verdict = Verdict::likely;
  out.cause = "handed-over";
  out.runtime = r;
  out.culprit = evidence->lost;
  out.add("handed-over")
      .format("{} ms ago this process handed work to {}, whose threads did not survive the fork",
              (now() - evidence->when) / kMillisecond, r != nullptr ? r->name : "a lost thread");
  add_alone(out, others);
  out.add("private").format("the {} is private: no other process can end the wait",
                            object_kind(wait.call.load()));
}

}  // namespace

bool nobody_else_could_end(const Thread& t) {
  int others = 0;
  return all_stand_still(t, others);
}

void judge(Thread& t, Nanoseconds waited, Judgement& out) {
  const Wait& wait = t.wait;
  switch (wait.call.load()) {
    case WaitCall::mutex_lock:
    case WaitCall::rwlock_rdlock:
    case WaitCall::rwlock_wrlock:
      if (judge_orphan(wait, out)) return;
      break;
    case WaitCall::initialiser:
      if (judge_initialiser(wait, out)) return;
      break;
    case WaitCall::libc_call:
      if (judge_libc_call(wait, out)) add_alone(out, 0);
      return;
    case WaitCall::sem_wait:  // CPython's locks
      if (python::explain_wait(out)) return;
      break;
    default:
      break;
  }
  if (judge_tied(t, out)) return;
  if (waited >= settings.threshold) judge_handed_over(t, out);
}

}  // namespace forkmend
