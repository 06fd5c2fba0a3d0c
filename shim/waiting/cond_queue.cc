#include "shim/waiting/cond_queue.h"

#include <errno.h>

#include "shim/base/compiler.h"
#include "shim/base/hash.h"
#include "shim/base/real.h"
#include "shim/base/spinlock.h"
#include "shim/threads/thread.h"
#include "shim/waiting/watch.h"

namespace forkmend::cond_queue {
namespace {

constexpr std::size_t kBuckets = 64;

// Of all condition variables with the same hash, in the order in which they came.
struct Bucket {
  std::uint64_t arrivals;
  CondWaiter* first;
  CondWaiter* last;

  void append(CondWaiter& w) {
    w.next = nullptr;
    w.arrival = arrivals++;
    w.generation = threads::generation.load(std::memory_order_relaxed);
    (first == nullptr ? first : last->next) = &w;
    last = &w;
  }
  // Takes the first one out for which bool fits(waiter). Null if there is none.
  template <class Fits>
  CondWaiter* take(Fits&& fits) {
    CondWaiter* before = nullptr;
    for (CondWaiter* w = first; w != nullptr; before = w, w = w->next) {
      if (!fits(*w)) continue;
      (before == nullptr ? first : before->next) = w->next;
      if (last == w) last = before;
      return w;
    }
    return nullptr;
  }
};
Bucket buckets[kBuckets];
FORKMEND_SAME_PAGE std::atomic<bool> used{false};  // by this process: buckets are not touched else

Bucket& bucket_of(const void* cond) { return buckets[hash_address<kBuckets>(cond)]; }

const void* cond_of(const CondWaiter& w) { return w.cond.load(std::memory_order_acquire); }

// False if it was called: it is in no queue then.
bool leave(CondWaiter& w) {
  const void* cond = cond_of(w);
  if (cond == nullptr) return false;
  Bucket& bucket = bucket_of(cond);
  const SpinGuard guard(Rank::cond_queues);
  if (cond_of(w) == nullptr) return false;
  if (w.generation == threads::generation.load(std::memory_order_relaxed))
    bucket.take([&](const CondWaiter& other) { return &other == &w; });
  w.cond.store(nullptr, std::memory_order_relaxed);
  return true;
}

void enter(CondWaiter& w, const void* cond) {
  leave(w);  // a wait that was never returned from: siglongjmp, or resumed in a child
  sem_init(&w.called, 0, 0);
  used.store(true, std::memory_order_relaxed);
  Bucket& bucket = bucket_of(cond);
  const SpinGuard guard(Rank::cond_queues);
  w.cond.store(cond, std::memory_order_relaxed);
  bucket.append(w);
}

// Calls the one that waits longest, of those that came before `end`. False if nobody waits.
bool call(const void* cond, bool by_signal, std::uint64_t end) {
  CondWaiter* w;
  Bucket& bucket = bucket_of(cond);
  {
    const SpinGuard guard(Rank::cond_queues);
    w = bucket.take(
        [&](const CondWaiter& other) { return cond_of(other) == cond && other.arrival < end; });
    if (w == nullptr) return false;
    w->by_signal = by_signal;
    w->cond.store(nullptr, std::memory_order_release);
  }
  real().sem_post(&w->called);
  return true;
}

constexpr std::uint64_t kEverybody = ~std::uint64_t{0};

struct Waiting {
  CondWaiter& waiter;
  pthread_cond_t* cond;
  pthread_mutex_t* mutex;
};

// What libc does: the mutex is the thread's again in its cleanup handlers, and the signal, if there
// was one, somebody else's.
void cancelled(void* argument) {
  const Waiting& wait = *static_cast<Waiting*>(argument);
  if (!leave(wait.waiter) && wait.waiter.by_signal && !signal(wait.cond))
    real().pthread_cond_signal(wait.cond);
  real().pthread_mutex_lock(wait.mutex);
}

void wait_until_called(Thread& t, const CondWaiter& w) {
  watch::begin(t);
  while (cond_of(w) != nullptr) {
    const timespec deadline = to_timespec(watch::next_look(t));
    t.watch.slicing = true;
    const bool timed_out =
        real().sem_clockwait(const_cast<sem_t*>(&w.called), CLOCK_MONOTONIC, &deadline) != 0 &&
        errno == ETIMEDOUT;
    t.watch.slicing = false;
    if (timed_out && cond_of(w) != nullptr) watch::look(t);
  }
  watch::end(t);
}

}  // namespace

int wait(Thread& t, pthread_cond_t* c, pthread_mutex_t* m) {
  const int error_before = errno;
  Waiting waiting{t.cond_waiter, c, m};
  enter(waiting.waiter, c);
  const int error = real().pthread_mutex_unlock(m);
  if (FORKMEND_UNLIKELY(error != 0)) {
    leave(waiting.waiter);
    return error;
  }
  pthread_cleanup_push(cancelled, &waiting);
  wait_until_called(t, waiting.waiter);
  pthread_cleanup_pop(0);
  errno = error_before;
  return real().pthread_mutex_lock(m);
}

bool signal(pthread_cond_t* c) {
  if (FORKMEND_LIKELY(!used.load(std::memory_order_relaxed))) return false;
  return call(c, true, kEverybody);
}

void broadcast(pthread_cond_t* c) {
  if (FORKMEND_LIKELY(!used.load(std::memory_order_relaxed))) return;
  // Who was called may be back before the last one is.
  std::uint64_t end;
  {
    const SpinGuard guard(Rank::cond_queues);
    end = bucket_of(c).arrivals;
  }
  while (call(c, false, end)) {
  }
}

void after_fork_child(const ChildEntry&) {
  if (!used.load(std::memory_order_relaxed)) return;
  for (Bucket& bucket : buckets) bucket.first = bucket.last = nullptr;
  // A fork in a signal handler, which goes back into its wait.
  Thread* self = threads::self();
  const bool waits =
      self != nullptr && cond_of(self->cond_waiter) != nullptr &&
      self->cond_waiter.generation + 1 == threads::generation.load(std::memory_order_relaxed);
  used.store(waits, std::memory_order_relaxed);
  if (waits) bucket_of(cond_of(self->cond_waiter)).append(self->cond_waiter);
}

}  // namespace forkmend::cond_queue
