// Thread records: what the shim keeps of one thread.
//
// Promises: identity is (generation, serial), never pthread_t or tid: both are reused. A record of
// an older generation than the process's is a lost thread, at no cost per thread at the fork.
// Records live in chunks that are never unmapped, so a pointer to one may always be read.
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
#include "shim/waiting/wait.h"

namespace forkmend {

struct Runtime;
struct Stack;

// What the safepoint sees of a thread. LEAVING is stored first and the gate is looked at after: a
// plain flag races (FACTS, "The gate beside other allocators").
enum class ThreadState : std::uint8_t {
  free,      // the record is unused
  starting,  // pthread_create was called, the thread does not run yet
  running,
  parked,   // stopped at the gate, or blocked in a wait, holding nothing
  leaving,  // on its way out of a park
  exiting,  // the start routine returned; destructors of thread-local objects may still run
};

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
  const void* object;
  WaitCall call;
  bool reported;
  bool spurious;     // the last slice was handed to the caller as a spurious wakeup
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
  std::atomic<ThreadState> state;
  std::atomic<bool> registered;     // of a runtime whose policy has a gate
  std::atomic<bool> detaches;       // itself, once it runs
  std::atomic<std::uint8_t> apart;  // see threads/apart.h
  std::atomic<int> tid;
  std::atomic<std::uint32_t> generation;
  std::uint32_t serial;
  pthread_t handle;
  void* (*start)(void*);
  void* argument;
  RuntimePointer runtime;
  std::atomic<Stack*> stack;  // of the shim's own (threads/stacks.h), or null
  Thread* next_free;
  // Identity and origin.
  int former_tids[kFormerTids];  // what it was in this process's ancestors, the last one first
  char name[16];
  int (*start_c11)(void*);
  const pthread_t* handle_at;  // where libc tells its creator the handle, before the thread runs
  const void* creator;         // return address of the call that created it
  const void* start_symbol;    // start routine, or the vtable of a std::thread's state
  // What it does now.
  std::atomic<bool> gated;           // parked at the gate, not of its own accord
  std::atomic<std::uint32_t> parks;  // how often it parked: unchanged means never left
  std::atomic<int> invisible;  // depth of locks that cannot be seen (loader, stdio, static init)
  Wait wait;
  KernelActivity activity;  // asked for before the fork where there is no wait record
  WatchState watch;
  HeldLocks held;
  Initialisers initialisers;
  const void* signalled[kSignalledSlots];
  std::uint32_t signalled_next;
  std::atomic<std::uint32_t> exit_park;  // 0, or one of the two above
  std::uintptr_t parked_from;            // its stack pointer there
  std::atomic<bool> settled;             // a lost thread that was joined or detached
  std::atomic<bool> kept;                // a lost thread whose handle an ended thread keeps taken
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
  Spinlock lock;  // of what follows
  std::uint32_t next_serial = 1;
  Thread* free_list = nullptr;
};
extern FORKMEND_HIDDEN Books books;
// Threads with a record that live in this process, the main thread included.
inline std::atomic<int>& live() { return books.live; }
// Threads that did not survive the last fork; 0 in the first ancestor.
extern FORKMEND_HIDDEN std::atomic<int> lost;

inline bool is_lost(const Thread& t) {
  return t.state.load(std::memory_order_relaxed) != ThreadState::free &&
         t.generation.load(std::memory_order_relaxed) != generation.load(std::memory_order_relaxed);
}
inline bool has_been(const Thread& t, int tid) {
  for (const int former : t.former_tids) {
    if (former == tid) return tid != 0;
  }
  return false;
}
inline bool is_live(const Thread& t) {
  return t.state.load(std::memory_order_relaxed) != ThreadState::free &&
         t.generation.load(std::memory_order_relaxed) == generation.load(std::memory_order_relaxed);
}

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
void release(Thread* t);

// Visits every record ever used, in order of its place: bool visit(Thread&) says whether to go on.
// Records may change under the visitor.
template <class Visit>
void for_each(Visit&& visit);

// Records in use, the highest place ever used: a bound for for_each.
int highest();
Thread* at(int place);

// Child entry: the forking thread is the one that lives; everyone else's record is lost.
void after_fork_child(const ChildEntry&, int tid);

template <class Visit>
void for_each(Visit&& visit) {
  const int n = highest();
  for (int i = 0; i < n; i++) {
    Thread* t = at(i);
    if (t != nullptr && !visit(*t)) return;
  }
}

}  // namespace threads
}  // namespace forkmend
