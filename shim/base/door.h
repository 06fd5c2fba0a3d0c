// A door that threads stand at while somebody forks.
//
// Promises: any number of forks may have it closed at once; it is open when the last one opens it.
// Who stands at it waits with the latest fork's deadline as its own time-out: no helper opens it,
// so that a fork handler of somebody else's that needs such a thread is held up no longer than
// that. Async-signal-safe: atomic words and one futex. Does not: know who stands at it or why.
#pragma once

#include <atomic>
#include <cstdint>

#include "shim/base/clock.h"
#include "shim/base/compiler.h"
#include "shim/base/token.h"

namespace forkmend {

class Door {
 public:
  // `until`: CLOCK_MONOTONIC, in nanoseconds.
  void close(Nanoseconds until);
  // A closed door stays so until then, if that is later.
  void keep_closed(Nanoseconds until);
  void open();
  // True if threads may pass: nobody forks, or the deadline is over.
  bool is_open() const { return FORKMEND_LIKELY(closed_.load() == 0) || now() >= until_.load(); }
  // Whether anybody has it closed, deadline or not: what a hot path reads.
  FORKMEND_INLINE bool may_be_closed() const { return closed_.load() != 0; }
  // Waits until it is open.
  void wait() const;
  // Child entry: the forking thread may have closed it.
  void after_fork_child(const ChildEntry&);

 private:
  std::atomic<std::uint32_t> closed_{0};  // forks under way
  std::atomic<Nanoseconds> until_{0};
};

}  // namespace forkmend
