// Runtimes: the threads of one library that work together, and what is done for them.
//
// Promises: a fixed table, never unmapped; a Runtime* stays valid for the life of the process.
// The first word of a Runtime is what forkmend_enqueue() of the public header reads.
// Does not: decide when a fork may go on (forking/safepoint.h) or bring threads back (reviving/).
#pragma once

#include <atomic>
#include <cstdint>

#include "include/forkmend/forkmend.h"
#include "shim/base/clock.h"
#include "shim/base/compiler.h"
#include "shim/base/token.h"
#include "shim/reporting/modules.h"
#include "shim/runtimes/configuration.h"
#include "shim/runtimes/profile.h"
#include "shim/threads/thread.h"

namespace forkmend {

inline constexpr std::size_t kRuntimeNameSize = 64;

struct Runtime {
  forkmend_runtime handle;  // must be first: its address is the public handle
  char name[kRuntimeNameSize];
  const modules::Module* dso;  // the creating DSO, null for one registered without
  const Profile* profile;      // null: no profile, policy report
  const char* profile_origin;  // "built in", a file's path, "API" or "none"
  Policy policy;
  bool settle;
  int signal;         // by which its threads are parked at a fork; 0: they park by themselves
  bool unasked;       // a built-in profile makes its threads anew, and nobody named it
  Nanoseconds drain;  // how long a fork may wait for it
  bool from_api;
  std::atomic<bool> in_use;
  std::atomic<int> live;  // its threads in this process
  // The safepoint's memory: a runtime that misses the deadline fork after fork is given less time.
  std::atomic<int> misses;
  // Work handed to it since the fork that lost its threads (evidence of a lockup).
  std::atomic<std::uint32_t> enqueued;
  std::atomic<const void*> enqueued_object;
  int (*pause)(int);  // of policy quiesce
  // Set by the public API.
  forkmend_callbacks callbacks;
  void* user;
  std::atomic<std::uint32_t> reviving;  // 0 idle, 1 a thread is calling respawn
  // While it does: that thread, and the serial of the next one to be created.
  std::atomic<const Thread*> respawning;
  std::atomic<std::uint32_t> respawn_serial;
  std::atomic<int> failures;  // revivals that failed in this process
  // Of policies that resume, in a child (reviving/resume.h).
  std::atomic<bool> resumable;  // its threads are lost and wait for the first enqueue
  std::atomic<bool> put_off;    // the first enqueue may have been in a signal handler
  bool objects_rebuilt;         // its kernel objects are the child's own
  char* images;                 // what lay outside of its threads' stacks, while they are made anew
  std::size_t images_size;
};

namespace runtimes {

inline constexpr int kMaxRuntimes = 256;  // distinct libraries that create threads in one process

// Whether the fork protocol waits for threads of this policy.
inline bool has_gate(Policy policy) { return policy >= Policy::drain; }

// The runtime that a new thread belongs to: by the creating DSO, for std::thread by the vtable of
// its state. Never null unless the table is full (reported once).
Runtime* attribute(const void* caller, const void* start_symbol);

// The runtime of a thread whose name was set, where a profile names threads; null: no change.
Runtime* attribute_by_name(const Thread& t, const char* name);

// The runtime of Python threads that a profile matched by module; one for each profile. Null when
// the table is full. Its threads' records belong to the interpreter: nobody waits for them at a
// fork.
Runtime* of_python(const configuration::Match& match, const char* module);
// The runtime of this name, or null.
Runtime* named(std::string_view name);

// A runtime registered through the API; null when the table is full.
Runtime* add(const char* name, const void* caller);
void remove(Runtime* r);

// Books a thread in and out. `t.runtime` is set or cleared.
void enter(Thread& t, Runtime* r);
void leave(Thread& t);

// The runtime whose threads were created by the DSO of `caller`, or null. Async-signal-safe.
Runtime* of_caller(const void* caller);

template <class Visit>
void for_each(Visit&& visit);
int highest();
Runtime& at(int index);

// Registered threads in the process: 0 means that fork has nobody to wait for.
extern FORKMEND_HIDDEN std::atomic<int> registered_threads;

// Child entry: marks every runtime that had threads as lost. One store a runtime.
void after_fork_child(const ChildEntry&);

template <class Visit>
void for_each(Visit&& visit) {
  for (int i = 0; i < highest(); i++) {
    if (at(i).in_use.load(std::memory_order_acquire)) visit(at(i));
  }
}

}  // namespace runtimes
}  // namespace forkmend
