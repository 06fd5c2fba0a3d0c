// The module map: which object a code address lies in, kept since before the fork.
//
// Promises: find() takes no lock and may run in a child and on the signal path; refresh() runs in
// the parent only, at thread creation and before a fork. Entries are appended, never moved: after
// dlclose an entry stays, and a later object at the same place shadows it.
// Does not: name symbols (the command does, from build ids).
#pragma once

#include <cstddef>
#include <cstdint>

#include "shim/base/token.h"

namespace forkmend::modules {

inline constexpr std::size_t kPathSize = 448;
inline constexpr std::size_t kBuildIdSize = 20;  // SHA-1, what ld writes by default
inline constexpr int kMaxModules = 2048;         // the largest process seen had 410

struct Module {
  std::uintptr_t lo, hi;  // lowest and highest address of its segments
  std::uintptr_t bias;    // load address minus link address
  std::uint8_t build_id_size;
  std::uint8_t build_id[kBuildIdSize];
  char path[kPathSize];
};

// The module that holds `address`, or null. Async-signal-safe.
const Module* find(const void* address);

// The module of `address`; where it is not known, the map is brought up to date first.
const Module* find_or_refresh(const void* address);

// The path of the loaded object that holds `address`, as the loader has it: empty for the
// executable, null where there is none or it cannot be told at once. From glibc 2.35 on without a
// lock; before, as refresh(). Needs no map, and makes none. Valid while the object is loaded: for
// the caller of a function, while that call lasts.
const char* path_of_loaded(const void* address);

// True for code inside a memory allocator: a thread that waits or locks there is never stopped and
// never counts as parked, since the allocator's prepare handler may wait for it (a fork beside
// jemalloc hung so). Async-signal-safe, a few comparisons.
bool is_in_allocator(const void* address);

// True if this process has an allocator that is known not to be libc's.
bool has_allocator();

// Brings the map up to date if objects were loaded or unloaded since. Takes the loader's lock for a
// moment: not on the child or signal path.
void refresh();

// Calls visit(module, data) for each object that is loaded now; none is unloaded meanwhile. False,
// and nothing is visited, while another thread is inside the loader's list: it may hold what our
// caller waits for. As refresh(); `visit` must not block, since others wait for the list.
bool for_each_loaded(void (*visit)(const Module&, void*), void* data);
// How often objects were loaded and unloaded, as of the last refresh.
std::uint64_t loads();

// The executable itself, or null before the first refresh.
const Module* of_executable();

int count();
const Module& at(int index);
int index_of(const Module& module);

// True while a thread is inside dl_iterate_phdr (its lock is one that fork never resets).
void enter_iteration();
void leave_iteration();

void after_fork_child(const ChildEntry&);

}  // namespace forkmend::modules
