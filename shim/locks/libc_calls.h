// Threads inside functions of libc that take a lock of libc's own (setenv, localtime, getaddrinfo
// …).
//
// libc's fork resets the locks of malloc, stdio and the loader; all others a child inherits as they
// are. Whoever was inside such a function at the fork leaves its lock taken, and the child hangs at
// its first call of the same kind, in libc, where nobody sees it.
// Promises: a fork of a process with threads waits until nobody is inside; newcomers stand at the
// door until it is over. It is bounded: by kLongest for threads that run or wait for each other, by
// kLongestAsleep for one that waits for something else (a name server, a log socket), and not at
// all for one that is known to hold no lock while it waits. Costs a thread two stores and two loads
// a call; a fork of a process that never called such a function nothing. Does not: see calls that
// libc makes inside of itself (its outermost function counts), those through a pointer from before
// the shim was loaded, threads without a record. dlopen is left out: libc takes the caller's search
// path from the return address.
#pragma once

#include <atomic>
#include <cstdint>

#include "shim/base/clock.h"
#include "shim/base/compiler.h"
#include "shim/base/token.h"
#include "shim/threads/thread.h"

namespace forkmend::libc_calls {

// kUsed: somebody called such a function before, and there is nothing else to do than to note the
// call. Any other value is looked at more closely.
inline constexpr std::uint32_t kUsed = 1;
extern FORKMEND_HIDDEN std::atomic<std::uint32_t> attention;

// A call of the same kind, to be made in a process of its own.
struct Trial {
  void (*call)(void* context);
  void* context;
};

// What a call does before libc's function where more is to be done than to note it; `frame` is what
// it noted.
void arrive(Thread& t, const void* frame, Trial trial, const void* caller);

// Marks the calling thread as inside `function` for the life of the object. Inside another one it
// does nothing: the outermost counts. One that was left by longjmp or cancellation is known by its
// frame, which no longer lies above this one on the stack.
class Inside {
 public:
  FORKMEND_INLINE explicit Inside(const LibcFunction& function) : thread_(threads::self()) {
    if (FORKMEND_UNLIKELY(thread_ == nullptr)) return;
    LibcCall& call = thread_->libc_call;
    const void* outer = call.frame.load(std::memory_order_relaxed);
    if (FORKMEND_UNLIKELY(outer != nullptr && this < outer)) {
      thread_ = nullptr;
      return;
    }
    call.function = &function;
    call.frame.store(this, std::memory_order_relaxed);
    // Between this store and the look at `attention` the processor must not change the order. The
    // forking thread sees to that (membarrier), since forks are rarer than calls.
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
  // True if arrive() is to be called before libc's function.
  FORKMEND_INLINE bool is_wanted() const {
    return FORKMEND_UNLIKELY(attention.load(std::memory_order_relaxed) != kUsed);
  }
  // `trial` makes a call that takes the same lock and shows outside of the process in no way.
  template <class Call>
  void arrive(Call trial, const void* caller) const {
    if (thread_ == nullptr) return;
    const auto call = [](void* context) { (*static_cast<Call*>(context))(); };
    libc_calls::arrive(*thread_, this, {call, &trial}, caller);
  }
  FORKMEND_INLINE ~Inside() {
    if (FORKMEND_UNLIKELY(thread_ == nullptr)) return;
    thread_->libc_call.frame.store(nullptr, std::memory_order_release);
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  Thread* thread_;
};

// Before the first thread is created: what orders the two sides is made ready.
void prepare();

// In the forking thread, right before libc's fork; after it one of the two others. A second close
// by the same thread does nothing.
void close_and_wait();
void after_fork_parent();
void after_fork_child(const ChildEntry&);

}  // namespace forkmend::libc_calls
