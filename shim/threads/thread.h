// Thread records: what the shim keeps of one thread.
//
// Promises: identity is (generation, serial), never pthread_t or tid: both are reused. It stands in
// one word with the thread's state (threads/state.h). A record of an older generation than the
// process's is a lost thread, at no cost per thread at the fork. Records live in chunks that are
// never unmapped, so a pointer to one may always be read. A child's own records lie after those of
// its ancestors: a look at the threads that live does not grow with those that are lost.
// Does not: own the thread. A thread that was made by raw clone() has no record.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "shim/base/compiler.h"
#include "shim/base/spinlock.h"
#include "shim/base/token.h"
#include "shim/threads/kernel_state.h"
#include "shim/threads/libc_call.h"
#include "shim/threads/state.h"
#include "shim/waiting/cond_queue.h"
#include "shim/waiting/wait.h"

namespace forkmend {

struct Runtime;
struct Stack;

// Locks that a thread of a registered runtime holds, by address: an array with a counter alone goes
// wrong where locks are released in another order than they were taken.
inline constexpr int kHeldSlots = 14;  // jemalloc's prefork takes more: `overflow` counts those

enum class HeldKind : std::uint8_t { mutex, rwlock_read, rwlock_write, spin };

struct HeldLocks {
  const void* lock[kHeldSlots];
  HeldKind kind[kHeldSlots];
  int count;
  int overflow;
};

// Static initialisers that a thread is running, each inside the one before. One that finds no room
// is only not known by name.
inline constexpr int kMostInitialisers = 8;

struct Initialisers {
  const void* guard[kMostInitialisers];
  int count;
};

// Condition variables and semaphores this thread signalled last: where a child waits on one of them
// for ever, the thread that would have ended the wait is known by name.
inline constexpr int kSignalledSlots = 4;

// What the watch (waiting/watch.h) knows of the wait that is under way.
struct WatchState {
  Nanoseconds since, next;
  bool reported;
  bool interrupted;  // a handler of the program's ran, or is due, since the last slice
  bool slicing;  // inside one: libc may call an interposed clock_gettime that locks (libfaketime)
};

// A pointer that its thread sets (it adopts itself into a runtime) while a forking thread reads it.
class RuntimePointer {
 public:
  RuntimePointer& operator=(Runtime* runtime) {
    pointer_.store(runtime, std::memory_order_relaxed);
    return *this;
  }
  operator Runtime*() const { return pointer_.load(std::memory_order_relaxed); }
  Runtime* exchange(Runtime* runtime) { return pointer_.exchange(runtime); }
  Runtime* operator->() const { return *this; }

 private:
  std::atomic<Runtime*> pointer_{nullptr};
};

// What a thread that was parked because the process exits (exiting/park.h) waits for.
inline constexpr std::uint32_t kParkedForExit = 1;  // nothing
inline constexpr std::uint32_t kEndForJoin = 2;     // it has to end: somebody joins it

// A thread that forks goes on in the child under another tid; locks that it holds carry the old
// one. More than four generations, without a touch of the lock, is nobody's program.
inline constexpr int kFormerTids = 4;

struct alignas(64) Thread {
  // One cache line: all that a thread of no runtime touches as it begins and ends. Its creator has
  // just written the record, mostly on another CPU.
  StateWord state;                // and whose record this is
  std::atomic<pthread_t> handle;  // 0 until the thread has begun, or its creator was told
  std::atomic<int> tid;
  std::atomic<bool> registered;         // of a runtime whose policy has a gate
  std::atomic<bool> detaches;           // itself, once it runs
  std::atomic<bool> may_make_way;       // see threads/apart.h
  std::atomic<std::uint8_t> of_handle;  // of a lost thread: see threads/lost.h
  void* (*start)(void*);
  void* argument;
  RuntimePointer runtime;
  std::atomic<Stack*> stack;  // of the shim's own (threads/stacks.h), or null
  Thread* next_free;
  // Identity and origin.
  int former_tids[kFormerTids];  // what it was in this process's ancestors, the last one first
  char name[16];
  int (*start_c11)(void*);
  const void* creator;       // return address of the call that created it
  const void* start_symbol;  // start routine, or the vtable of a std::thread's state
  // What it does now.
  std::atomic<bool> gated;           // parked at the gate, not of its own accord
  std::atomic<std::uint32_t> parks;  // how often it parked: unchanged means never left
  std::atomic<int> invisible;  // depth of locks that cannot be seen (loader, stdio, static init)
  Wait wait;
  LibcCall libc_call;
  KernelActivity activity;  // asked for before the fork where there is no wait record
  WatchState watch;
  CondWaiter cond_waiter;
  HeldLocks held;
  Initialisers initialisers;
  const void* signalled[kSignalledSlots];
  std::uint32_t signalled_next;
  std::atomic<std::uint32_t> exit_park;  // 0, or one of the two above
  std::uintptr_t parked_from;            // its stack pointer there

  std::uint32_t generation() const { return state.identity().generation(); }
  std::uint32_t serial() const { return state.identity().serial(); }
};
static_assert(offsetof(Thread, former_tids) == 64);

namespace threads {

extern FORKMEND_HIDDEN FORKMEND_TLS Thread* current_thread;

// The calling thread's record, or null: a foreign thread, an inert shim, or a thread that is
// ending.
FORKMEND_INLINE Thread* self() { return current_thread; }

// The process's generation: forks from the first ancestor down.
extern FORKMEND_HIDDEN std::atomic<std::uint32_t> generation;
// What the beginning and the end of every thread write: one cache line, and nothing else in it.
struct alignas(64) Books {
  std::atomic<int> live{0};
  std::atomic<int> exiting{0};    // records that wait for the kernel to say that the thread is gone
  std::uint32_t next_serial = 1;  // this and the next: Rank::records
  Thread* free_list = nullptr;
};
extern FORKMEND_HIDDEN Books books;
// Threads with a record that live in this process, the main thread included.
inline std::atomic<int>& live() { return books.live; }
// Threads that did not survive the last fork; 0 in the first ancestor.
extern FORKMEND_HIDDEN std::atomic<int> lost;

// One load each: see threads/state.h.
inline bool is_lost(Identity i) {
  return i.in_use() && !i.is_of(generation.load(std::memory_order_relaxed));
}
inline bool is_live(Identity i) {
  return i.in_use() && i.is_of(generation.load(std::memory_order_relaxed));
}
inline bool is_lost(const Thread& t) {
  return is_lost(t.state.identity(std::memory_order_acquire));
}
inline bool is_live(const Thread& t) {
  return is_live(t.state.identity(std::memory_order_acquire));
}

// Reads several things of one thread, by loads that acquire: false if the record is not in use, or
// was given to another thread before read() was done; what it read is then worth nothing.
template <class Read>
bool read_of(const Thread& t, Identity& identity, Read&& read) {
  identity = t.state.identity(std::memory_order_acquire);
  if (!identity.in_use()) return false;
  read();
  return identity.is_same(t.state.identity(std::memory_order_relaxed));
}

inline bool has_been(const Thread& t, int tid) {
  for (const int& former : t.former_tids) {
    if (__atomic_load_n(&former, __ATOMIC_ACQUIRE) == tid) return tid != 0;
  }
  return false;
}
// The thread goes on under another tid; what it holds carries this one.
void note_former_tid(Thread& t, int tid);

// A thread, if it has a record, goes into a lock that cannot be seen, and out of it. Not below
// zero: it may have had no record when it went in.
inline void enter_invisible(Thread* t) {
  if (t != nullptr) t->invisible.fetch_add(1, std::memory_order_relaxed);
}
inline void leave_invisible(Thread* t) {
  if (t != nullptr && t->invisible.load(std::memory_order_relaxed) > 0)
    t->invisible.fetch_sub(1, std::memory_order_relaxed);
}

// The live thread that had this tid in an ancestor of this process and has another one now, or
// null. Null if a live thread has it now.
Thread* survivor_with(int former_tid);

// Takes the calling (main) thread into the books. Called once, from the constructor.
void adopt_main_thread();

// A fresh record in state `starting`, or null when none can be had (reported once; the thread then
// runs unseen).
Thread* allocate();
// What a thread does becomes that of one that has not begun; who it is stays.
void begin_anew(Thread& t);
// By the thread itself, or by who alone knows of it.
void release(Thread* t);
// By anybody, when the thread is gone; `seen`: what its record was when that was found out. True
// for one of those who ask: it calls release_claimed().
bool claim(Thread& t, Identity seen);
void release_claimed(Thread* t);

// The lost thread is live again: in this process, in this state.
void go_on(Thread& t, ThreadState state);

// The live thread that has this handle and has begun, or null.
Thread* live_with_handle(pthread_t handle);

// Visit records in order of their place: bool visit(Thread&) says whether to go on. Records may
// change under the visitor. Each of the two costs what there is of its kind, and what ended.
template <class Visit>
void for_each_live(Visit&& visit);
template <class Visit>
void for_each_lost(Visit&& visit);

// Places of records: below the highest ever used; those below the second are of ancestors, and in
// this process lost, but for the thread that forked and what was brought back since.
int highest();
extern FORKMEND_HIDDEN std::atomic<int> first_own;
// Where those of live threads begin, but for the one that forked (in the first ancestor the main
// thread).
extern FORKMEND_HIDDEN std::atomic<int> first_live;
extern FORKMEND_HIDDEN std::atomic<Thread*> survivor;
Thread* at(int place);

// Child entry: the forking thread is the one that lives; everyone else's record is lost.
void after_fork_child(const ChildEntry&, int tid);

template <class Visit>
void for_each_live(Visit&& visit) {
  Thread* first = survivor.load(std::memory_order_relaxed);
  if (first != nullptr && is_live(*first) && !visit(*first)) return;
  const int n = highest();
  for (int i = first_live.load(std::memory_order_relaxed); i < n; i++) {
    Thread* t = at(i);
    if (t != nullptr && t != first && is_live(*t) && !visit(*t)) return;
  }
}

template <class Visit>
void for_each_lost(Visit&& visit) {
  const int n = first_own.load(std::memory_order_relaxed);
  for (int i = 0; i < n; i++) {
    Thread* t = at(i);
    if (t != nullptr && is_lost(*t) && !visit(*t)) return;
  }
}

}  // namespace threads
}  // namespace forkmend
