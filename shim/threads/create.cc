#include "shim/threads/create.h"

#include <string.h>

#include "shim/base/armed.h"
#include "shim/base/real.h"
#include "shim/base/settings.h"
#include "shim/base/syscall.h"
#include "shim/base/text.h"
#include "shim/forking/gate.h"
#include "shim/forking/protocol.h"
#include "shim/locks/layout.h"
#include "shim/python/entry.h"
#include "shim/runtimes/runtime.h"
#include "shim/threads/apart.h"
#include "shim/threads/first.h"
#include "shim/threads/thread.h"

namespace forkmend::threads {
namespace {

// What a std::thread hands to pthread_create is a pointer to its state, an object with a vtable in
// the library whose code the thread will run; the caller and the start routine are libstdc++'s.
const void* start_symbol(const void* caller, void* (*start)(void*), void* argument) {
  const modules::Module* of_start = modules::find_or_refresh(reinterpret_cast<void*>(start));
  if (of_start == nullptr || argument == nullptr) return reinterpret_cast<void*>(start);
  constexpr const char* kLibrary = "libstdc++.so";
  if (strstr(of_start->path, kLibrary) == nullptr) return caller;
  const void* vtable = nullptr;
  memcpy(&vtable, argument, sizeof vtable);
  return vtable;
}

// The end of a thread, by return, pthread_exit or cancellation.
void ended(void* record) {
  Thread* t = static_cast<Thread*>(record);
  if (!t->registered) {
    runtimes::leave(*t);
    current_thread = nullptr;
    release(t);
    return;
  }
  // Destructors of thread-local objects still run, and may be half way through something at a fork:
  // the record counts until the kernel says that the thread is gone (reap).
  t->state.store(ThreadState::exiting);
}

// False: another thread is started in its place, and this one is to end.
bool begin(Thread* t) {
  if (FORKMEND_UNLIKELY(watch::needed()) && !stays(*t, pthread_self())) {
    runtimes::leave(*t);
    release(t);
    return false;
  }
  if (t->detaches.load(std::memory_order_relaxed)) real().pthread_detach(pthread_self());
  current_thread = t;
  t->tid.store(sys::gettid(), std::memory_order_relaxed);
  t->handle = pthread_self();
  t->state.store(ThreadState::running);
  if (t->registered) gate::pass(*t, t->creator);
  return true;
}

void* trampoline(void* record) {
  Thread* t = static_cast<Thread*>(record);
  void* result;
  if (!begin(t)) return nullptr;
  pthread_cleanup_push(ended, t);
  result = t->start(t->argument);
  pthread_cleanup_pop(1);
  return result;
}

int trampoline_c11(void* record) {
  Thread* t = static_cast<Thread*>(record);
  int result;
  if (!begin(t)) return 0;
  pthread_cleanup_push(ended, t);
  result = t->start_c11(t->argument);
  pthread_cleanup_pop(1);
  return result;
}

}  // namespace

void reap() {
  for_each([](Thread& t) {
    if (t.state.load() == ThreadState::exiting && is_live(t) &&
        !sys::thread_exists(sys::getpid(), t.tid.load(std::memory_order_relaxed))) {
      runtimes::leave(t);
      release(&t);
    }
    return true;
  });
}

namespace {

Thread* prepare(const void* caller, const void* symbol) {
  before_first();
  if (live.load(std::memory_order_relaxed) <= 1) forking::catch_up();
  if (runtimes::registered_threads.load(std::memory_order_relaxed) > 0) reap();
  Thread* t = allocate();
  if (t == nullptr) return nullptr;
  t->creator = caller;
  t->start_symbol = symbol;
  runtimes::enter(*t, runtimes::attribute(caller, symbol));
  python::entry::guard(caller, symbol, t->runtime);
  return t;
}

void undo(Thread* t) {
  if (t == nullptr) return;
  runtimes::leave(*t);
  release(t);
}

}  // namespace

int create(pthread_t* handle, const pthread_attr_t* attributes, void* (*start)(void*),
           void* argument, const void* caller) {
  const Apart apart(attributes);
  const void* symbol = start_symbol(caller, start, argument);
  for (;;) {
    Thread* t = prepare(caller, symbol);
    if (t == nullptr) return real().pthread_create(handle, attributes, start, argument);
    t->start = start;
    t->argument = argument;
    t->apart.store(apart.active() ? kUndecided : kStays, std::memory_order_relaxed);
    t->detaches.store(apart.detached(), std::memory_order_relaxed);
    const int result = real().pthread_create(handle, apart.attributes(), trampoline, t);
    if (result != 0) undo(t);
    if (result != 0 || stays(*t, *handle)) return result;
  }
}

int create_c11(thrd_t* handle, thrd_start_t start, void* argument, const void* caller) {
  for (;;) {
    Thread* t = prepare(caller, caller);
    if (t == nullptr) return real().thrd_create(handle, start, argument);
    t->start_c11 = start;
    t->argument = argument;
    t->apart.store(watch::needed() ? kUndecided : kStays, std::memory_order_relaxed);
    const int result = real().thrd_create(handle, trampoline_c11, t);
    if (result != thrd_success) undo(t);
    if (result != thrd_success || stays(*t, *handle)) return result;
  }
}

void set_name(pthread_t handle, const char* name) {
  Thread* t = self();
  if (t == nullptr || !pthread_equal(handle, pthread_self())) {
    t = nullptr;
    for_each([&](Thread& other) {
      if (is_live(other) && other.state.load() != ThreadState::starting && other.handle == handle)
        t = &other;
      return t == nullptr;
    });
  }
  if (t == nullptr) return;
  copy_text(t->name, name);
  Runtime* r = runtimes::attribute_by_name(*t, name);
  if (r == nullptr || t != self()) return;  // its list of held locks begins with the thread itself
  runtimes::leave(*t);
  runtimes::enter(*t, r);
}

}  // namespace forkmend::threads
