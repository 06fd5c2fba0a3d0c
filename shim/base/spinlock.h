// The spin locks of the shim: one list, in the order in which they may be taken.
//
// A lock is its rank and nothing else, so that one that is not in the list cannot be written, and
// none can be forgotten where a child opens them. Promises: no libc lock, no allocation. While one
// is held only those further down in the list may be taken; the unit tests under sanitizers are
// built with FORKMEND_CHECK_LOCKS, which ends a process that does otherwise. A child opens all of
// them with one store each (open_all), on a page that it writes to anyway; what each guards is
// whole in the child as its line says.
// Does not: allow anything but straight-line code inside a SpinGuard: no call of somebody else's
// code, no file, nothing that waits (an inherited logger's spin lock has hung one child in ten of a
// known program). What takes longer is a Turn: nobody waits for one without an end.
// Not here: words that are slept on as futexes while somebody else's code runs (a runtime's revival
// or respawn); their own modules reset them on child entry.
#pragma once

#include <atomic>
#include <cstdint>

#include "shim/base/clock.h"
#include "shim/base/compiler.h"
#include "shim/base/syscall.h"
#include "shim/base/token.h"

namespace forkmend {

enum class Rank : std::uint8_t {
  declared_scan,  // a Turn: the search for declared functions. Interrupted: made again
  declarations,   // their list: the count is stored last
  module_map,     // a Turn: a refresh of the map. Entries are counted when they are whole
  lost_waits,     // a Turn: the table of what lost threads waited on. Interrupted: emptied
  evidence,       // a Turn: of work handed over: a child begins without
  orphans,        // a mutex or read-write lock of the program's that is put right: by whole words
  lost_waiters,   // the same for what counts lost waiters, and the table of first uses: emptied
  cond_queues,    // who waits on a condition variable in the shim's own queues: emptied
  initialisers,   // the same for a static initialiser's guard
  runtimes,       // the table of runtimes: in_use is stored last
  records,        // free thread records. The free list is dropped, lost records stay readable
  adopted,        // adopted locks: an entry's runtime is stored last
  python_stack,   // a Turn: faulthandler's descriptor. Left open: closed by the next to come
  spare_stack,    // a Turn: an event made without memory. What lies on it is nobody's
  report_file,    // the name of the report file: each process makes its own
  count
};

namespace spin {

inline constexpr int kLocks = static_cast<int>(Rank::count);

struct alignas(64) Words {
  std::atomic<std::uint32_t> held[kLocks];
};
extern FORKMEND_HIDDEN Words words;

inline std::atomic<std::uint32_t>& word(Rank rank) { return words.held[static_cast<int>(rank)]; }

// Child entry: opens all. Whoever held one is lost, or is the forking thread (in a signal handler),
// whose unlock is then a store of what is there.
void open_all(const ChildEntry&);

// True if the lock was held at the fork that made this process: what it guards may be half changed.
bool was_held_at_fork(Rank rank);

#if defined(FORKMEND_CHECK_LOCKS)
void check_order(Rank rank);  // may be taken now
void note(Rank rank, bool taken);
// Called where files are read and written, and before somebody else's code: no SpinGuard here.
void check_none_held();
#else
inline void check_order(Rank) {}
inline void note(Rank, bool) {}
inline void check_none_held() {}
#endif

}  // namespace spin

// Holds a lock for a few lines.
class SpinGuard {
 public:
  explicit SpinGuard(Rank rank) : rank_(rank) {
    spin::check_order(rank);
    // Yielding after a short spin: on one CPU the holder must run for us to go on.
    for (int spins = 0; spin::word(rank).exchange(1, std::memory_order_acquire) != 0; spins++) {
      if (spins > 64) sys::yield();
    }
    spin::note(rank, true);
  }
  ~SpinGuard() {
    spin::note(rank_, false);
    spin::word(rank_).store(0, std::memory_order_release);
  }
  SpinGuard(const SpinGuard&) = delete;
  SpinGuard& operator=(const SpinGuard&) = delete;

 private:
  Rank rank_;
};

// Holds a lock for longer, if it can be had: at once, or within `patience`. False if not.
class Turn {
 public:
  explicit Turn(Rank rank, Nanoseconds patience = 0) : rank_(rank) {
    const Nanoseconds until = patience > 0 ? now() + patience : 0;
    do {
      mine_ = spin::word(rank).exchange(1, std::memory_order_acquire) == 0;
    } while (!mine_ && patience > 0 && now() < until && sys::yield() == 0);
  }
  ~Turn() {
    if (mine_) spin::word(rank_).store(0, std::memory_order_release);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  explicit operator bool() const { return mine_; }

 private:
  Rank rank_;
  bool mine_ = false;
};

}  // namespace forkmend
