#include "shim/threads/create.h"

#include <signal.h>
#include <string.h>

#include "shim/base/armed.h"
#include "shim/base/real.h"
#include "shim/base/settings.h"
#include "shim/base/syscall.h"
#include "shim/base/text.h"
#include "shim/forking/gate.h"
#include "shim/forking/protocol.h"
#include "shim/interpose/c11.h"
#include "shim/locks/layout.h"
#include "shim/python/entry.h"
#include "shim/reviving/by_signal.h"
#include "shim/reviving/forkall.h"
#include "shim/reviving/image.h"
#include "shim/reviving/rerun.h"
#include "shim/reviving/resume.h"
#include "shim/reviving/trigger.h"
#include "shim/runtimes/configuration.h"
#include "shim/runtimes/runtime.h"
#include "shim/threads/apart.h"
#include "shim/threads/first.h"
#include "shim/threads/stacks.h"
#include "shim/threads/start.h"
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
  t->libc_call.frame.store(nullptr, std::memory_order_relaxed);  // cancelled inside of it
  Stack* s = t->stack.load(std::memory_order_relaxed);
  if (!t->registered && (s == nullptr || s->stands)) {
    if (s != nullptr) {
      stacks::ending(*s);
      forkall::ended();
    }
    runtimes::leave(*t);
    current_thread = nullptr;
    release(t);
    return;
  }
  // Destructors of thread-local objects still run, and may be half way through something at a fork:
  // the record counts until the kernel says that the thread is gone (reap).
  t->state.store(ThreadState::exiting);
  books.exiting.fetch_add(1);
}

// False: another thread is started in its place, and this one is to end.
bool begin(Thread* t) {
  t->tid.store(layout::own_tid(), std::memory_order_relaxed);
  if (!arrive(*t)) return false;
  if (t->detaches.load(std::memory_order_relaxed)) real().pthread_detach(pthread_self());
  current_thread = t;
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

// --- threads that can be resumed -----------------------------------------------------------------

FORKMEND_NOINLINE void* run(Thread* t) {
  begin(t);
  if (t->start_c11 == nullptr) return t->start(t->argument);
  return reinterpret_cast<void*>(static_cast<long>(t->start_c11(t->argument)));
}

// The end of a thread that was made anew in vain: the next try needs what lies on its stack. glibc
// before 2.32 drops the pages of every stack whose thread ends, the caller's own too ("nptl: Don't
// madvise user provided stack"); the kernel alone drops nothing, and tells who joins.
void* end_unused() {
  if (libc_is_before(32)) sys::call(SYS_exit, 0);
  return nullptr;
}

// Its frame is the same, at the same place, in a thread that is made anew: when the thread's own
// frames return, they return into this one. Those lie below the pad; what is above is used again,
// from the top, when the thread is made anew.
FORKMEND_NOINLINE void* trampoline_on_stack(void* record) {
  Thread* t = static_cast<Thread*>(record);
  Stack* s = t->stack.load(std::memory_order_relaxed);
  const bool anew = s->image != nullptr;
  image::Rest rest;
  const void* frame = __builtin_frame_address(0);
  if (s->again && !resume::arrive_again(*s)) return end_unused();
  if (anew) {
    if (!resume::arrive(*s, frame, rest)) return end_unused();
  } else {
    s->frame = frame;
    s->handle = pthread_self();
    stacks::begun(*s);
    image::see(s->handle, s->base.load() + s->size);
    read_mask(*s);
    if (t->runtime->signal != 0) {
      s->own_mask_calls = true;
      by_signal::unblock(*t);
    }
  }
  void* result;
  pthread_cleanup_push(ended, t);
  if (anew) resume::go_on(*t, *s, rest);
  auto* pad = static_cast<volatile char*>(__builtin_alloca(stacks::kPad));
  pad[0] = 0;
  result = run(t);
  pthread_cleanup_pop(1);
  return result;
}

// Whether the thread is to have a stack that outlives it in a child. Threads that a profile names
// get their names when they run: all threads of libraries without a profile are then candidates.
bool wants_stack(const Thread& t) {
  const Runtime* r = t.runtime;
  if (r == nullptr || r->from_api) return false;
  if (r->policy == Policy::rerun) return true;
  if (r->policy == Policy::forkall) return resume::possible_here();
  const bool candidate =
      resumes(r->policy) || (r->profile == nullptr && configuration::resumes_by_thread_name());
  return candidate && resume::possible_here();
}

constexpr int kNoStack = -1;

// As pthread_create, on a stack of the shim's own where that is wanted and to be had.
int create_thread(Thread* t, pthread_t* handle, const pthread_attr_t* attributes) {
  pthread_attr_t own;
  const bool by_itself = t->runtime != nullptr && t->runtime->policy == Policy::forkall;
  std::size_t given = 0;
  // A program that gives a stack has counted its bytes.
  if (by_itself && stacks::given(attributes, given) != nullptr) return kNoStack;
  Stack* s = wants_stack(*t) ? stacks::take(attributes, own) : nullptr;
  if (s == nullptr) return kNoStack;
  s->owner.store(t);
  t->stack.store(s);
  if (by_itself) {
    s->stands = true;
    forkall::began();
  } else if (!resumes(t->runtime->policy))  // one that a name may claim too
    rerun::note_argument(*t, *s);
  const int result = real().pthread_create(handle, &own, trampoline_on_stack, t);
  if (result != 0) {
    t->stack.store(nullptr);
    if (s->stands) forkall::ended();
    stacks::give_back(s);
  }
  return result;
}

}  // namespace

void note_mask() {
  Thread* t = self();
  Stack* s = t != nullptr ? t->stack.load(std::memory_order_relaxed) : nullptr;
  if (s == nullptr) return;
  if (s->own_mask_calls) by_signal::unblock(*t);
  read_mask(*s);
}

int make_anew(Thread* t, pthread_t* handle, const pthread_attr_t* attributes) {
  return real().pthread_create(handle, attributes, trampoline_on_stack, t);
}

void reap() {
  if (FORKMEND_LIKELY(books.exiting.load() == 0)) return;
  for_each_live([](Thread& t) {
    const Identity seen = t.state.identity();
    if (seen.state() != ThreadState::exiting || !is_live(seen) ||
        sys::thread_exists(sys::getpid(), t.tid.load(std::memory_order_relaxed)) ||
        !claim(t, seen))  // several threads may look at once
      return true;
    books.exiting.fetch_sub(1);
    stacks::thread_gone(t);
    runtimes::leave(t);
    release_claimed(&t);
    return true;
  });
}

namespace {

Thread* prepare(const void* caller, const void* symbol, const void* start, const void* argument) {
  before_first();
  if (live().load(std::memory_order_relaxed) <= 1) forking::catch_up();
  trigger::on_create(caller);
  if (forkall::any()) forkall::creates(start, argument);
  reap();
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
    Thread* t = prepare(caller, symbol, reinterpret_cast<const void*>(start), argument);
    if (t == nullptr) return real().pthread_create(handle, attributes, start, argument);
    t->start = start;
    t->argument = argument;
    const Identity created = t->state.identity();
    int result = create_thread(t, handle, attributes);
    if (result == kNoStack) {
      t->may_make_way.store(apart.active(), std::memory_order_relaxed);
      t->detaches.store(apart.detached(), std::memory_order_relaxed);
      result = real().pthread_create(handle, apart.attributes(), trampoline, t);
    }
    if (result != 0) undo(t);
    if (result != 0 || note_created(*t, created, handle)) return result;
  }
}

int create_c11(thrd_t* handle, thrd_start_t start, void* argument, const void* caller) {
  for (;;) {
    Thread* t = prepare(caller, caller, reinterpret_cast<const void*>(start), argument);
    if (t == nullptr) return real().thrd_create(handle, start, argument);
    t->start_c11 = start;
    t->argument = argument;
    const Identity created = t->state.identity();
    const int error = create_thread(t, handle, nullptr);
    int result = c11::result(error);
    if (error == kNoStack) {
      t->may_make_way.store(watch::needed(), std::memory_order_relaxed);
      result = real().thrd_create(handle, trampoline_c11, t);
    }
    if (result != thrd_success) undo(t);
    if (result != thrd_success || note_created(*t, created, handle)) return result;
  }
}

void set_name(pthread_t handle, const char* name) {
  const bool own = pthread_equal(handle, pthread_self()) != 0;
  Thread* t = own && self() != nullptr ? self() : live_with_handle(handle);
  if (t == nullptr) return;
  copy_text(t->name, name);
  Runtime* r = runtimes::attribute_by_name(*t, name);
  if (r == nullptr || t != self()) return;  // its list of held locks begins with the thread itself
  forkall::leave(*t);                       // its policy is another one now
  runtimes::leave(*t);
  runtimes::enter(*t, r);
}

}  // namespace forkmend::threads
