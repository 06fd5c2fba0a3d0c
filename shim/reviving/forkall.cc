#include "shim/reviving/forkall.h"

#include <sys/mman.h>

#include "shim/base/mapping.h"
#include "shim/base/owned_lock.h"
#include "shim/base/settings.h"
#include "shim/base/syscall.h"
#include "shim/base/text.h"
#include "shim/forking/standstill.h"
#include "shim/locks/orphan.h"
#include "shim/reporting/event.h"
#include "shim/reporting/modules.h"
#include "shim/reviving/forkall_descriptors.h"
#include "shim/reviving/forkall_threads.h"
#include "shim/reviving/resume.h"
#include "shim/runtimes/runtime.h"
#include "shim/threads/lost.h"
#include "shim/threads/thread.h"
#include "shim/waiting/restart.h"

namespace forkmend::forkall {

FORKMEND_SAME_PAGE std::atomic<int> pending{0};

namespace {

// Threads of this policy that live in this process. On a line of its own: every creation and every
// end of one writes it.
struct alignas(64) Count {
  std::atomic<int> threads{0};
};
constinit Count live;

// What the lost threads that stood wait on, by address. Built at the first look in a child. The
// table has twice as many places as there are threads.
struct Entry {
  const void* object;
  Stack* first;    // of its waiters, the next behind it; null: all are gone
  bool is_shared;  // in memory of another process too: a wake may be meant for that
  bool is_known;   // whether
};

FORKMEND_SAME_PAGE OwnedLock lock;  // of what follows
FORKMEND_SAME_PAGE bool built;
Entry* table;
std::size_t size;  // a power of two

// Somebody was put off: looked at by each call that blocks.
FORKMEND_SAME_PAGE std::atomic<bool> put_off{false};
// In this thread libc's fork has not returned yet: it runs handlers.
FORKMEND_TLS bool in_fork;

Stack* stack_of(const Thread& t) { return t.stack.load(std::memory_order_relaxed); }

std::size_t place_of(const void* object) {
  constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15u;  // as base/hash.h
  return (reinterpret_cast<std::uintptr_t>(object) * kGolden >> 32) & (size - 1);
}

Entry* find(const void* object) {
  if (table == nullptr) return nullptr;
  for (std::size_t at = place_of(object); table[at].object != nullptr; at = (at + 1) & (size - 1)) {
    if (table[at].object == object) return &table[at];
  }
  return nullptr;
}

bool is_by_object(WaitCall call) {
  switch (call) {
    case WaitCall::cond_wait:
    case WaitCall::sem_wait:
    case WaitCall::futex:
    case WaitCall::mutex_lock:
      return true;
    default:
      return false;
  }
}

// With the lock held.
void build() {
  if (built) return;
  built = true;
  int waiting = 0;
  for_each_waiting([&](Thread&) { waiting++; });
  pending.store(waiting, std::memory_order_relaxed);
  if (waiting == 0) return;
  size = 16;
  while (size < 2 * static_cast<std::size_t>(waiting)) size *= 2;
  const long memory = sys::call(SYS_mmap, 0, static_cast<long>(size * sizeof(Entry)),
                                PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory < 0 && memory > -4096) return;
  table = reinterpret_cast<Entry*>(memory);
  // Backwards, so that who has waited longest stands first: records are mostly in that order.
  for (int i = threads::first_own.load(std::memory_order_relaxed) - 1; i >= 0; i--) {
    Thread* t = threads::at(i);
    if (t == nullptr || !may_go_on(*t) || !is_by_object(t->wait.call.load())) continue;
    std::size_t at = place_of(t->wait.object);
    while (table[at].object != nullptr && table[at].object != t->wait.object)
      at = (at + 1) & (size - 1);
    Entry& entry = table[at];
    entry.object = t->wait.object;
    stack_of(*t)->next_waiter = entry.first;
    entry.first = stack_of(*t);
  }
}

// The next waiter of the object that may go on, taken out of the table; null if there is none.
Thread* take(const void* object) {
  OwnedGuard guard(lock);
  build();
  Entry* entry = find(object);
  if (entry == nullptr || entry->is_shared) return nullptr;
  while (Stack* s = entry->first) {
    entry->first = s->next_waiter;
    Thread* t = s->owner.load();
    if (t != nullptr && may_go_on(*t)) return t;
  }
  return nullptr;
}

bool is_waited_on(const void* object) {
  OwnedGuard guard(lock);
  build();
  const Entry* entry = find(object);
  return entry != nullptr && entry->first != nullptr && !(entry->is_known && entry->is_shared);
}

// Another process may wait there too, and be the one that is meant.
bool is_shared(const void* object) {
  {
    OwnedGuard guard(lock);
    const Entry* entry = find(object);
    if (entry->is_known) return entry->is_shared;
  }
  const bool shared = in_shared_memory(object);
  OwnedGuard guard(lock);
  Entry* entry = find(object);
  entry->is_shared = shared;
  entry->is_known = true;
  return shared;
}

void put_back(Thread& t) {
  OwnedGuard guard(lock);
  Entry* entry = find(t.wait.object);
  if (entry == nullptr || !is_by_object(t.wait.call.load())) return;
  Stack* s = stack_of(t);
  s->next_waiter = entry->first;
  entry->first = s;
}

}  // namespace

bool is_in_fork() { return in_fork; }

void go_on(Thread& t, const char* why) {
  if (!may_go_on(t)) return;
  const int error = resume::revive(t);
  if (error == 0) {
    if (pending.load(std::memory_order_relaxed) > 1) pending.fetch_sub(1);
    if (settings.log == Log::info)
      say("\"{}\" of {} goes on: {}", t.name[0] != '\0' ? t.name : "unnamed", t.runtime->name, why);
    went_on(t);
  } else if (error == ENOTSUP) {
    stack_of(t)->left_alone = true;
  } else {
    put_back(t);
  }
}

namespace {

// Nothing is made anew now: in a handler of a fork or of a signal.
bool is_too_early(bool in_handlers) {
  return in_fork || (in_handlers && restart::handled_signal_blocked());
}

void put_off_until_later(Thread& t) {
  stack_of(t)->put_off = true;
  put_off.store(true);
}

}  // namespace

void meet(Thread& t, const char* why, bool in_handlers) {
  if (resume::is_reviving()) return;
  if (is_too_early(in_handlers)) return put_off_until_later(t);
  go_on(t, why);
}

namespace {

void go_on_put_off() {
  put_off.store(false);
  threads::for_each_lost([&](Thread& t) {
    Stack* s = stack_of(t);
    if (s != nullptr && s->put_off) {
      s->put_off = false;
      go_on(t, "woken by a handler");
    }
    return true;
  });
}

// All of its group: who runs the same start routine.
void leave_alone(const Thread& one) {
  const void* const start = reinterpret_cast<const void*>(one.start);
  for_each_waiting([&](Thread& t) {
    if (t.runtime == one.runtime && reinterpret_cast<const void*>(t.start) == start &&
        t.start_symbol == one.start_symbol && t.start_c11 == one.start_c11)
      stack_of(t)->left_alone = true;
  });
}

// What lies in a module, or is no address: the same in each thread of a kind, or its number. A
// block of malloc's may be another one at the same place.
bool tells(const void* argument) {
  constexpr std::uintptr_t kFirstPages = 65536;
  return reinterpret_cast<std::uintptr_t>(argument) < kFirstPages ||
         modules::find(argument) != nullptr;
}

}  // namespace

void began() { live.threads.fetch_add(1, std::memory_order_relaxed); }
void ended() { live.threads.fetch_sub(1, std::memory_order_relaxed); }

void leave(Thread& t) {
  Stack* s = stack_of(t);
  if (s == nullptr || !s->stands) return;
  s->stands = false;
  ended();
}

void woke(const void* object, const void* caller, bool in_handlers, int wakes) {
  // A handler that interrupted the look at what the lost threads wait on.
  if (resume::is_reviving() || lock.is_mine() || modules::is_in_allocator(caller)) return;
  if (!is_waited_on(object) || is_shared(object)) return;
  for (; wakes > 0; wakes--) {
    Thread* t = take(object);
    if (t == nullptr) return;
    meet(*t, "what it waits for was woken", in_handlers);
    if (stack_of(*t)->put_off) put_back(*t);
  }
}

void acts_on(pthread_t handle) {
  Thread* t = threads::lost_with_handle(handle);
  if (t != nullptr && may_go_on(*t)) meet(*t, "it is joined or signalled", true);
}

void blocks(WaitCall call, const void* object) {
  if (resume::is_reviving() || in_fork) return;
  if (put_off.load(std::memory_order_relaxed)) go_on_put_off();
  sees_parent();
  const Thread* owner = nullptr;
  if (call == WaitCall::mutex_lock) {
    // The kernel looks for the owner of the other two kinds by its id, and finds nobody.
    const auto* m = static_cast<const pthread_mutex_t*>(object);
    if (!layout::mutex_inherits_priority(m) && !layout::mutex_robust(m))
      owner = locks::orphan_owner(m);
  } else if (call == WaitCall::rwlock_rdlock || call == WaitCall::rwlock_wrlock) {
    owner = locks::orphan_owner(static_cast<const pthread_rwlock_t*>(object));
  }
  // One that waits without end holds the lock there too, until it is woken: it is an orphan's.
  if (owner != nullptr && owner->wait.timeout != Timeout::none && may_go_on(*owner))
    go_on(const_cast<Thread&>(*owner), "it holds a lock that is waited for");
}

void creates(const void* start, const void* argument) {
  const Thread* same = nullptr;
  const Thread* put_off_before = nullptr;
  for_each_waiting([&](Thread& t) {
    if (reinterpret_cast<const void*>(t.start) != start) return;
    if (t.argument == argument && tells(argument)) same = &t;
    if (stack_of(t)->put_off) put_off_before = &t;
  });
  if (same != nullptr) leave_alone(*same);
  // What a fork handler woke, and now makes anew.
  if (in_fork && put_off_before != nullptr) leave_alone(*put_off_before);
}

void initialised(const void* object) {
  const Thread* waiter = nullptr;
  for_each_waiting([&](Thread& t) {
    if (t.wait.object == object || t.wait.mutex == object) waiter = &t;
  });
  if (waiter != nullptr) leave_alone(*waiter);
}

void after_fork_child(const ChildEntry&) {
  if (!lock.is_mine()) lock.unlock();
  // A table of this process's own parent: its threads' places are taken anew.
  if (built && table != nullptr)
    sys::call(SYS_munmap, sys::arg(table), static_cast<long>(size * sizeof(Entry)));
  if (built) {
    built = false;
    table = nullptr;
  }
  const Thread* self = threads::self();
  const Stack* own = self != nullptr ? stack_of(*self) : nullptr;
  const int survivors = own != nullptr && own->stands ? 1 : 0;
  const int threads = live.threads.load(std::memory_order_relaxed);
  if (threads != survivors) {
    live.threads.store(survivors, std::memory_order_relaxed);
    pending.fetch_add(threads - survivors, std::memory_order_relaxed);
  }
  if (pending.load(std::memory_order_relaxed) > 0) in_fork = true;
  if (put_off.load(std::memory_order_relaxed)) put_off.store(false);
  forget_descriptors();
}

void fork_returned() {
  in_fork = false;
  if (put_off.load(std::memory_order_relaxed)) go_on_put_off();
}

}  // namespace forkmend::forkall
