#include "shim/python/callers.h"

#include <string.h>

#include "shim/base/clock.h"
#include "shim/base/settings.h"
#include "shim/base/syscall.h"
#include "shim/python/bridge.h"
#include "shim/runtimes/runtime.h"
#include "shim/threads/kernel_state.h"
#include "shim/threads/thread.h"

namespace forkmend::python::callers {
namespace {

constexpr Nanoseconds kPause = 50 * kMicrosecond;
constexpr int kMostHalvings = 5;
int misses;  // in a row; with the interpreter's lock

bool says_so(const Runtime& r) { return r.profile != nullptr && r.profile->callers != 0; }

// How long to wait; 0 where nobody is to be waited for.
Nanoseconds allowance() {
  Nanoseconds longest = 0;
  bool others = false;
  runtimes::for_each([&](const Runtime& r) {
    if (!runtimes::has_gate(r.policy) || r.live.load(std::memory_order_relaxed) == 0) return;
    others |= !says_so(r);
    if (r.drain > longest) longest = r.drain;
  });
  return others ? 0 : longest >> misses;
}

// std::condition_variable waits in libstdc++, whoever uses it.
bool is_standard_library(const void* address) {
  const modules::Module* module = modules::find(address);
  return module != nullptr && strstr(module->path, "libstdc++.so") != nullptr;
}

bool may_be_inside(const Thread& t) {
  const int tid = t.tid.load(std::memory_order_relaxed);
  switch (tid != 0 ? kernel_state(tid) : KernelState::gone) {
    case KernelState::gone:
      return false;
    case KernelState::other:
      return true;
    case KernelState::sleeping:
      break;
  }
  if (t.wait.call.load() == WaitCall::none) return false;
  const void* caller = t.wait.caller;
  if (is_interpreters(caller)) return false;
  const Runtime* r = runtimes::of_caller(caller);
  return (r != nullptr && says_so(*r)) || is_standard_library(caller);
}

bool all_out() {
  const Thread* self = threads::self();
  bool out = true;
  threads::for_each_live([&](Thread& t) {
    if (&t != self && !t.registered) out = !may_be_inside(t);
    return out;
  });
  return out;
}

}  // namespace

bool has_to_wait() { return settings.drain != 0 && allowance() != 0; }

bool wait_until_out() {
  const Nanoseconds until = now() + allowance();
  // Twice: a thread may be on its way from one wait to another.
  for (int looks_out = 0; looks_out < 2;) {
    if (all_out()) {
      looks_out++;
      continue;
    }
    looks_out = 0;
    if (now() >= until) {
      if (misses < kMostHalvings) misses++;
      return false;
    }
    const timespec pause = to_timespec(kPause);
    sys::call(SYS_nanosleep, sys::arg(&pause));
  }
  misses = 0;
  return true;
}

}  // namespace forkmend::python::callers
