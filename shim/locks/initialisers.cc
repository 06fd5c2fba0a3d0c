#include "shim/locks/initialisers.h"

#include <dlfcn.h>

#include "shim/base/mapping.h"
#include "shim/base/real.h"
#include "shim/base/settings.h"
#include "shim/base/spinlock.h"
#include "shim/base/syscall.h"
#include "shim/reporting/lockup.h"
#include "shim/waiting/blocking.h"

namespace forkmend::initialisers {
namespace {

struct Runtime {
  int (*acquire)(Guard*);
  void (*release)(Guard*);
  void (*abort)(Guard*);
};

// --- libstdc++'s protocol ------------------------------------------------------------------------
// For a process whose C++ runtime cannot be found by name: a module loaded it out of our sight.

constexpr std::uint32_t kDone = 1, kPending = 1 << 8, kWaiting = 1 << 16;

std::atomic<std::uint32_t>& word_of(Guard* guard) {
  return *reinterpret_cast<std::atomic<std::uint32_t>*>(guard);
}

int own_acquire(Guard* guard) {
  std::atomic<std::uint32_t>& word = word_of(guard);
  for (;;) {
    std::uint32_t seen = 0;
    if (word.compare_exchange_strong(seen, kPending)) return 1;
    if ((seen & kDone) != 0) return 0;
    if ((seen & kWaiting) == 0 && !word.compare_exchange_strong(seen, seen | kWaiting)) continue;
    sys::call(SYS_futex, sys::arg(&word), FUTEX_WAIT, static_cast<long>(kPending | kWaiting), 0);
  }
}

void own_end(Guard* guard, std::uint32_t state) {
  std::atomic<std::uint32_t>& word = word_of(guard);
  if ((word.exchange(state) & kWaiting) != 0)
    sys::call(SYS_futex, sys::arg(&word), FUTEX_WAKE, 0x7fffffff);
}
void own_release(Guard* guard) { own_end(guard, kDone); }
void own_abort(Guard* guard) { own_end(guard, 0); }

// -------------------------------------------------------------------------------------------------

bool look_up(void* library, Runtime& out) {
  out.acquire = reinterpret_cast<int (*)(Guard*)>(dlsym(library, "__cxa_guard_acquire"));
  out.release = reinterpret_cast<void (*)(Guard*)>(dlsym(library, "__cxa_guard_release"));
  out.abort = reinterpret_cast<void (*)(Guard*)>(dlsym(library, "__cxa_guard_abort"));
  return out.acquire != nullptr && out.release != nullptr && out.abort != nullptr;
}

constexpr Runtime kOwn = {own_acquire, own_release, own_abort};
Runtime chosen;
std::atomic<bool> is_chosen{false};

// A module may load its runtime with RTLD_LOCAL, where RTLD_NEXT does not look.
const Runtime& runtime() {
  if (FORKMEND_LIKELY(is_chosen.load(std::memory_order_acquire))) return chosen;
  if (LookUp::is_inside()) return kOwn;
  const LookUp inside;
  Runtime found{};
  bool ok = look_up(RTLD_NEXT, found);
  for (const char* name : {"libstdc++.so.6", "libc++abi.so.1"}) {
    if (ok) break;
    void* library = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
    ok = library != nullptr && look_up(library, found);
  }
  if (!ok) found = kOwn;
  // Two threads that come here at once find the same.
  chosen = found;
  is_chosen.store(true, std::memory_order_release);
  return chosen;
}

bool is_done(const Guard* guard) {
  return __atomic_load_n(reinterpret_cast<const char*>(guard), __ATOMIC_ACQUIRE) != 0;
}

bool remove(Thread& t, const void* guard) {
  for (int i = t.initialisers.count - 1; i >= 0; i--) {
    if (t.initialisers.guard[i] != guard) continue;
    t.initialisers.count--;
    for (; i < t.initialisers.count; i++) t.initialisers.guard[i] = t.initialisers.guard[i + 1];
    return true;
  }
  return false;
}

Thread* lost_inside(const void* guard) {
  Thread* found = nullptr;
  threads::for_each_lost([&](Thread& t) {
    for (int i = 0; i < t.initialisers.count; i++) {
      if (t.initialisers.guard[i] == guard) found = &t;
    }
    return found == nullptr;
  });
  return found;
}

// Makes the guard as it was before the lost thread came. False: another thread was first.
bool run_anew(Guard* guard) {
  Thread* lost;
  {
    SpinGuard hold(Rank::initialisers);
    lost = lost_inside(guard);
    if (lost == nullptr) return false;
    remove(*lost, guard);
    __atomic_store_n(guard, 0, __ATOMIC_RELEASE);
  }
  report_opened(guard, "static initialiser", *lost, "contention");
  return true;
}

// Not inside: the initialiser waits for nobody who is here. A process without lost threads does not
// look.
void put_right(Thread& t, Guard* guard, const void* caller) {
  if (FORKMEND_LIKELY(!watch::needed()) || lost_inside(guard) == nullptr) return;
  if (settings.orphans == Orphans::reset && !in_shared_memory(guard)) {
    run_anew(guard);
    return;
  }
  const waiting::Blocking blocking(t, WaitCall::initialiser, guard, caller);
  waiting::wait_for_ever(t);
}

}  // namespace

int acquire(Guard* guard, const void* caller) {
  Thread* t = waiting::enter();
  if (t != nullptr && !is_done(guard)) put_right(*t, guard, caller);
  const int mine = runtime().acquire(guard);
  if (mine == 0 || t == nullptr) return mine;
  threads::enter_invisible(t);
  Initialisers& list = t->initialisers;
  if (list.count < kMostInitialisers) list.guard[list.count++] = guard;
  return mine;
}

namespace {

void leave(Guard* guard) {
  Thread* t = threads::self();
  if (t == nullptr) return;
  remove(*t, guard);
  threads::leave_invisible(t);
}

}  // namespace

void release(Guard* guard) {
  runtime().release(guard);
  leave(guard);
}

void abort(Guard* guard) {
  runtime().abort(guard);
  leave(guard);
}

const Thread* left_by(const void* guard) { return lost_inside(guard); }

}  // namespace forkmend::initialisers
