#include "shim/reviving/callback.h"

#include <errno.h>
#include <string.h>

#include "shim/base/load.h"
#include "shim/base/settings.h"
#include "shim/base/spinlock.h"
#include "shim/base/syscall.h"
#include "shim/exiting/exit.h"
#include "shim/forking/protocol.h"
#include "shim/locks/adopted.h"
#include "shim/reporting/event.h"
#include "shim/runtimes/runtime.h"
#include "shim/threads/first.h"

namespace forkmend::reviving {
namespace {

Runtime* runtime_of(forkmend_runtime* handle) { return reinterpret_cast<Runtime*>(handle); }

}  // namespace

forkmend_runtime* add(const char* name, const forkmend_callbacks* callbacks, void* user,
                      const void* caller) {
  if (!is_active()) return nullptr;
  threads::before_first();
  forking::catch_up();
  Runtime* r = runtimes::add(name, caller);
  if (r == nullptr) return nullptr;
  if (callbacks != nullptr) {
    // An older program knows fewer callbacks: the rest stay null.
    const std::size_t size =
        callbacks->size < sizeof r->callbacks ? callbacks->size : sizeof r->callbacks;
    memcpy(&r->callbacks, callbacks, size);
  }
  r->user = user;
  exiting::schedule(*r);
  return &r->handle;
}

int adopt_lock(forkmend_runtime* handle, forkmend_lock_kind kind, void* lock) {
  return locks::adopt(runtime_of(handle), kind, lock);
}

int adopt_thread(forkmend_runtime* handle) {
  Thread* t = threads::self();
  if (t == nullptr) return EINVAL;
  Runtime* r = runtime_of(handle);
  if (t->runtime == r) return 0;
  runtimes::leave(*t);
  runtimes::enter(*t, r);
  return 0;
}

// `reviving` is 0, or 1 while a thread is inside respawn; others sleep on it as a futex.
int enqueue(forkmend_runtime* handle) {
  Runtime& r = *runtime_of(handle);
  r.enqueued.fetch_add(1, std::memory_order_relaxed);
  if (r.policy != Policy::callback || r.callbacks.respawn == nullptr) return 0;
  for (;;) {
    if (__atomic_load_n(&handle->lost, __ATOMIC_ACQUIRE) == 0) return 0;
    std::uint32_t idle = 0;
    if (r.reviving.compare_exchange_strong(idle, 1)) break;
    sys::futex_wait(&r.reviving, 1, nullptr);
  }
  int error = 0;
  if (__atomic_load_n(&handle->lost, __ATOMIC_ACQUIRE) != 0) {
    r.respawning.store(threads::self(), std::memory_order_relaxed);
    {
      SpinGuard guard(Rank::records);
      r.respawn_serial.store(threads::books.next_serial, std::memory_order_relaxed);
    }
    error = r.callbacks.respawn(r.user);
    r.respawning.store(nullptr, std::memory_order_relaxed);
    if (error == 0) {
      __atomic_store_n(&handle->lost, 0, __ATOMIC_RELEASE);
      if (settings.log == Log::info) say("revived {} at its first enqueue", r.name);
    } else {
      report_respawn_failed(r, error);
    }
  }
  r.reviving.store(0);
  sys::futex_wake_all(&r.reviving);
  return error;
}

void enqueue_by_declared(Runtime& r) {
  const Thread* t = threads::self();
  if (r.reviving.load() != 0) {
    // What respawn waits for must not wait for respawn.
    if (t == nullptr || t == r.respawning.load() || t->serial() >= r.respawn_serial.load()) return;
  }
  enqueue(&r.handle);
}

void remove(forkmend_runtime* handle) {
  Runtime* r = runtime_of(handle);
  threads::for_each_live([&](Thread& t) {
    if (t.runtime == r) runtimes::leave(t);
    return true;
  });
  locks::forget(r);
  exiting::forget(*r);
  runtimes::remove(r);
}

void call_before_fork() {
  runtimes::for_each([](Runtime& r) {
    if (r.callbacks.before_fork != nullptr) r.callbacks.before_fork(r.user);
  });
}

void call_child(const ChildEntry&) {
  runtimes::for_each([](Runtime& r) {
    if (r.callbacks.child != nullptr && r.handle.lost != 0) r.callbacks.child(r.user);
  });
}

}  // namespace forkmend::reviving
