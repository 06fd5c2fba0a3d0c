// New threads of a child, told apart from lost ones.
//
// libc keeps the stacks of lost threads for new ones, and with the stack the handle: the program
// would join, signal or cancel a thread of its own in place of one that is gone.
// Promises: in a process with lost threads no new thread has the handle of a lost one that was
// neither joined nor detached. A newcomer that was given such a handle ends before it has run
// anything, and is never joined while the lost one is not: the handle stays taken. Larger stacks
// than usual (by a page) keep libc from handing out those of lost threads, so that this is rare.
// Does not: anything for threads on stacks of the caller's, who says himself what becomes of them.
#pragma once

#include <pthread.h>

#include "shim/threads/thread.h"
#include "shim/waiting/watch.h"

namespace forkmend::threads {

// Attributes for a thread to be created in a process with lost threads.
class Apart {
 public:
  explicit Apart(const pthread_attr_t* attributes);
  ~Apart();
  Apart(const Apart&) = delete;
  Apart& operator=(const Apart&) = delete;

  const pthread_attr_t* attributes() const { return changed_ ? &own_ : given_; }
  // Whether a newcomer may make way: not on a stack of the caller's.
  bool active() const { return changed_; }
  // The caller wanted it detached; it is created joinable, and detaches itself once it stays.
  bool detached() const { return detached_; }

 private:
  const pthread_attr_t* given_;
  pthread_attr_t own_;
  bool changed_ = false;
  bool own_is_ours_ = false;  // to be destroyed
  bool detached_ = false;
};

}  // namespace forkmend::threads
