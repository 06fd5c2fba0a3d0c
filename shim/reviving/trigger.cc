#include "shim/reviving/trigger.h"

#include "shim/python/bridge.h"
#include "shim/reporting/modules.h"
#include "shim/reviving/callback.h"
#include "shim/reviving/kernel_objects.h"
#include "shim/runtimes/runtime.h"
#include "shim/threads/lost.h"
#include "shim/waiting/handover.h"
#include "shim/waiting/proof.h"
#include "shim/waiting/restart.h"

namespace forkmend::trigger {
namespace {

bool waits(const Runtime* r) {
  return r != nullptr && r->resumable.load(std::memory_order_relaxed);
}

Runtime* waiting_runtime_of(const Thread* lost) {
  if (lost == nullptr) return nullptr;
  Runtime* r = lost->runtime;
  return waits(r) ? r : nullptr;
}

// The program itself does many things; that it does one does not mean that it means its pool.
bool is_program(const Runtime& r) { return r.dso == modules::of_executable(); }

Runtime* waiting_library(const void* caller) {
  Runtime* r = runtimes::of_caller(caller);
  return waits(r) && !is_program(*r) ? r : nullptr;
}

// Calls that are allowed in signal handlers may be in one that interrupted malloc. A thread inside
// a handler has its signal blocked; one that blocks a handled signal for other reasons is revived
// for a little later, at a call that no handler makes.
FORKMEND_SAME_PAGE std::atomic<bool> put_off{false};

void bring_back(Runtime& r) {
  if (waits(&r)) {
    resume::revive(r);
  } else if (r.from_api) {
    reviving::enqueue_by_declared(r);
  }
}

void revive(Runtime& r, bool in_handlers) {
  if (in_handlers && restart::handled_signal_blocked()) {
    r.put_off.store(true);
    put_off.store(true);
    return;
  }
  bring_back(r);
}

void revive_put_off() {
  put_off.store(false);
  runtimes::for_each([](Runtime& r) {
    if (r.put_off.exchange(false)) bring_back(r);
  });
}

bool is_for_others(WaitCall call) {
  switch (call) {
    case WaitCall::mutex_lock:
    case WaitCall::rwlock_rdlock:
    case WaitCall::rwlock_wrlock:
    case WaitCall::cond_wait:
    case WaitCall::sem_wait:
    case WaitCall::join:
    case WaitCall::barrier_wait:
    case WaitCall::futex:
      return true;
    default:
      return false;
  }
}

bool is_for_descriptors(WaitCall call) {
  return call == WaitCall::epoll_wait || call == WaitCall::poll || call == WaitCall::select;
}

Runtime* waited_for(WaitCall call, const void* object, const void* caller) {
  if (call == WaitCall::join)
    return waiting_runtime_of(threads::lost_with_handle(reinterpret_cast<pthread_t>(object)));
  // A runtime's thread that enters the interpreter takes and releases the interpreter's own locks,
  // at the same addresses as before the fork: no sign of work. CPython itself takes one of them in
  // the child before it has done away with the thread states of lost threads.
  if (python::is_interpreters(caller)) return nullptr;
  if (is_for_descriptors(call)) return waiting_library(caller);
  if (!is_for_others(call)) return nullptr;
  Runtime* r = runtimes::of_caller(caller);
  if (waits(r)) return r;
  // Through a library in between, such as libstdc++: by the object.
  r = waiting_runtime_of(handover::lost_signaller(object));
  return r != nullptr ? r : waiting_runtime_of(handover::lost_waiter(object));
}

}  // namespace

void woke(const void* object, const void* caller, bool in_handlers) {
  if (modules::is_in_allocator(caller) || python::is_interpreters(caller)) return;
  Runtime* r = waiting_runtime_of(handover::lost_waiter(object));
  if (r == nullptr) r = waiting_library(caller);
  if (r != nullptr) revive(*r, in_handlers);
}

void wrote(int fd, const void* caller) {
  if (python::is_interpreters(caller)) return;
  Runtime* found = waiting_library(caller);
  if (found == nullptr) {
    runtimes::for_each([&](Runtime& r) {
      if (waits(&r) && !is_program(r) && kernel_objects::made_by(r, fd)) found = &r;
    });
  }
  if (found != nullptr) revive(*found, true);
}

void creates_thread(const void* caller) {
  if (Runtime* r = waiting_library(caller)) resume::revive(*r);
}

void acts_on(pthread_t thread) {
  if (Runtime* r = waiting_runtime_of(threads::lost_with_handle(thread))) revive(*r, true);
}

void blocks(WaitCall call, const void* object, const void* caller) {
  if (modules::is_in_allocator(caller)) return;
  if (put_off.load(std::memory_order_relaxed)) revive_put_off();
  if (Runtime* r = waited_for(call, object, caller)) resume::revive(*r);
}

void on_enqueue(Runtime& r, const void* function, const void* caller) {
  if (modules::is_in_allocator(caller)) return;
  revive(r, true);
  if (__atomic_load_n(&r.handle.lost, __ATOMIC_ACQUIRE) != 0) handover::note_enqueue(r, function);
}

void still_blocked(Thread& t) {
  if (!nobody_else_could_end(t)) return;
  runtimes::for_each([](Runtime& r) {
    // A child that waits for a signal looks the same, and must not get threads that nobody asked
    // for.
    if (waits(&r) && !r.unasked) resume::revive(r);
  });
}

}  // namespace forkmend::trigger
