#include "shim/exiting/exit.h"

#include <pthread.h>
#include <signal.h>

#include "shim/base/clock.h"
#include "shim/base/real.h"
#include "shim/base/settings.h"
#include "shim/base/syscall.h"
#include "shim/forking/gate.h"
#include "shim/reporting/event.h"
#include "shim/runtimes/runtime.h"
#include "shim/threads/thread.h"

// libc's list of exit handlers. A handler without an object belongs to the process.
extern "C" int __cxa_atexit(void (*handler)(void*), void* argument, void* object);

namespace forkmend::exiting {

FORKMEND_SAME_PAGE std::atomic<bool> holding{false};

namespace {

// What the exit phase keeps of a runtime, by its place in the table.
struct Stop {
  std::atomic<int> places;  // handlers in libc's list
  std::atomic<bool> scheduled, stopped;
  std::atomic<std::uint32_t> returned;  // the callback has; a futex
};
constinit Stop stops[runtimes::kMaxRuntimes]{};

// libc's list cannot be shortened. A program that registers and unregisters for ever keeps the
// places of its first so many registrations: 32 KiB at most.
constexpr int kMostPlaces = 1024;

Stop& stop_of(const Runtime& r) { return stops[&r - &runtimes::at(0)]; }

void* call_stop(void* runtime) {
  Runtime& r = *static_cast<Runtime*>(runtime);
  r.callbacks.stop(r.user);
  Stop& stop = stop_of(r);
  stop.returned.store(1);
  sys::futex_wake_all(&stop.returned);
  return nullptr;
}

// In a thread of its own, since a callback that hangs cannot be left behind in any other way.
// Signals stay with the program's threads. Where no thread can be had it runs here.
void start_stop(Runtime& r) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const int error = real().pthread_create(&thread, &attributes, call_stop, &r);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (error != 0) call_stop(&r);
}

bool wait_until_returned(Stop& stop, Nanoseconds deadline) {
  while (stop.returned.load() == 0) {
    const Nanoseconds left = deadline - now();
    if (left <= 0) return false;
    const timespec timeout = to_timespec(left);
    sys::futex_wait(&stop.returned, 0, &timeout);
  }
  return true;
}

bool has_threads(const Runtime& r) {
  bool found = false;
  threads::for_each_live([&](Thread& t) {
    const int tid = t.tid.load(std::memory_order_relaxed);
    found = t.runtime == &r && &t != threads::self() &&
            (tid == 0 || sys::thread_exists(sys::getpid(), tid));
    return !found;
  });
  return found;
}

// A thread's end cannot be waited for without joining it, which is for its owner to do. The
// callback of a runtime that joins has nothing left for us.
template <class Condition>
bool wait_for(Condition&& holds, Nanoseconds deadline) {
  constexpr Nanoseconds kShortest = 50 * kMicrosecond, kLongest = 2 * kMillisecond;
  for (Nanoseconds pause = kShortest; !holds(); pause = pause < kLongest ? 2 * pause : pause) {
    if (now() >= deadline) return false;
    const timespec time = to_timespec(pause);
    sys::call(SYS_nanosleep, sys::arg(&time), 0);
  }
  return true;
}

void stop_runtime(Runtime& r) {
  Stop& stop = stop_of(r);
  if (!r.in_use.load() || r.callbacks.stop == nullptr || r.handle.lost != 0) return;
  if (stop.stopped.exchange(true)) return;
  const Nanoseconds began = now(), deadline = began + settings.exit;
  stop.returned.store(0);
  start_stop(r);
  const char* missed = nullptr;
  if (!wait_until_returned(stop, deadline)) {
    missed = "stop";
  } else if (!wait_for([&] { return !has_threads(r); }, deadline)) {
    missed = "join";
  }
  if (missed != nullptr) {
    report_stop_missed(r, missed, now() - began, settings.exit);
  } else if (r.callbacks.respawn != nullptr) {
    // A handler of the program's that comes later and hands it work gets its threads again.
    __atomic_store_n(&r.handle.lost, 1, __ATOMIC_RELEASE);
  }
}

// --- threads that nobody stops
// ---------------------------------------------------------------------

Thread* exiter;
Nanoseconds held_until;
bool closed;            // by us
std::uint32_t held_in;  // the generation: the gate of a child that a handler forks is open

bool all_parked() {
  bool parked = true;
  threads::for_each_live([&](Thread& t) {
    parked = !t.registered || &t == exiter || t.state.load() == ThreadState::parked ||
             !sys::thread_exists(sys::getpid(), t.tid.load(std::memory_order_relaxed));
    return parked;
  });
  return parked;
}

// Nobody waits for the held threads: the deadline is there for a destructor that spins on one of
// them. A busy machine may take seconds to destroy what there is.
constexpr int kHeld = 10;

// A runtime that registered itself has told us that its threads come to the gate, and is waited for
// as for a fork. Those of a profile may be anywhere, and a clean exit is not made slower.
constexpr Nanoseconds kUnasked = 10 * kMillisecond;

// Past the deadline the gate is open again: whatever is wrong, exit is not held up for ever.
void hold(const Runtime& r) {
  if (settings.exit == 0 || holding.exchange(true)) return;
  exiter = threads::self();
  if (exiter != nullptr && exiter->registered) runtimes::leave(*exiter);
  held_until = now() + kHeld * settings.exit;
  held_in = threads::generation.load();
  closed = true;
  gate::close(held_until);
  const Nanoseconds began = now();
  const Nanoseconds patience = r.from_api || kUnasked > settings.exit ? settings.exit : kUnasked;
  wait_for([] { return all_parked(); }, began + patience);
}

bool is_exiter() {
  return exiter != nullptr && exiter == threads::self() && held_in == threads::generation.load();
}

void at_exit(void* runtime) {
  Runtime& r = *static_cast<Runtime*>(runtime);
  stop_runtime(r);
  if (r.in_use.load() && runtimes::has_gate(r.policy) && has_threads(r)) hold(r);
}

}  // namespace

void schedule(Runtime& r) {
  Stop& stop = stop_of(r);
  if (stop.scheduled.load(std::memory_order_relaxed) || stop.scheduled.exchange(true)) return;
  stop.stopped.store(false);
  if (stop.places.fetch_add(1) >= kMostPlaces) return;
  __cxa_atexit(at_exit, &r, nullptr);
}

void forget(const Runtime& r) { stop_of(r).scheduled.store(false); }

bool has_work() {
  bool found = false;
  runtimes::for_each([&](const Runtime& r) { found = found || r.callbacks.stop != nullptr; });
  return found;
}

void begin() {
  for (int i = runtimes::highest() - 1; i >= 0; i--) stop_runtime(runtimes::at(i));
}

bool abandons(const pthread_cond_t* c) {
  bool found = false;
  threads::for_each_live([&](Thread& t) {
    found = t.registered && &t != exiter && t.wait.object == c &&
            t.wait.call.load() == WaitCall::cond_wait;
    return !found;
  });
  return found && is_exiter();
}

void let_run() {
  if (!is_exiter() || !closed) return;
  closed = false;
  gate::open();
}

void hold_again() {
  if (!is_exiter() || closed || now() >= held_until) return;
  closed = true;
  gate::close(held_until);
}

}  // namespace forkmend::exiting
