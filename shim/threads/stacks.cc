#include "shim/threads/stacks.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "shim/base/hash.h"
#include "shim/base/lazy.h"
#include "shim/base/owned_lock.h"
#include "shim/base/syscall.h"
#include "shim/reporting/event.h"
#include "shim/reviving/image.h"
#include "shim/threads/destructors.h"
#include "shim/threads/stack_cache.h"
#include "shim/threads/thread.h"

namespace forkmend::threads::stacks {
namespace {

constexpr int kMostStacks = 32768;  // Linux's default limit of threads in a process
constexpr std::size_t kPage = 4096;
// A program that gives a stack of its own has counted its bytes: only one that is larger than this
// can spare the pad.
constexpr std::size_t kLeastGiven = std::size_t{256} << 10;

struct Table {
  Stack stack[kMostStacks];
};
Lazy<Table> table;

// The lists of stacks: of free slots, and of stacks whose threads have ended and that nobody has
// joined, or that the kernel has not left. And those of ours by their upper end: libc puts each
// thread's block, whose address is the handle, at the same distance from it.
class List {
 public:
  void push(Stack* s) {
    s->next = first_;
    s->previous = nullptr;
    if (first_ != nullptr) first_->previous = s;
    first_ = s;
  }
  void remove(Stack* s) {
    (s->previous != nullptr ? s->previous->next : first_) = s->next;
    if (s->next != nullptr) s->next->previous = s->previous;
  }
  Stack* first() const { return first_; }

 private:
  Stack* first_ = nullptr;
};

constexpr std::size_t kBuckets = 4096;  // a thousand threads make none longer than a few

struct Books {
  OwnedLock lock;
  List free_slots, ended;
  int used;   // slots that were ever taken
  int given;  // stacks of the program's among them
  std::atomic<std::size_t> block{
      0};  // distance of the thread block from the upper end; 0: not known
  Stack* by_end[kBuckets] = {};
};
constinit Books books{};

std::size_t round_up(std::size_t size) { return (size + kPage - 1) & ~(kPage - 1); }

Stack*& bucket(const char* end) { return books.by_end[hash_address<kBuckets>(end)]; }

void enter_table(Stack* s, char* base) {
  Stack*& first = bucket(base + s->size);
  s->next_same = first;
  first = s;
}

void leave_table(Stack* s, const char* base) {
  Stack** at = &bucket(base + s->size);
  while (*at != s) at = &(*at)->next_same;
  *at = s->next_same;
}

// Called with the lock held.
Stack* take_slot() {
  if (Stack* s = books.free_slots.first()) {
    books.free_slots.remove(s);
    return s;
  }
  Table* all = table.get();
  if (all == nullptr || books.used == kMostStacks) return nullptr;
  return &all->stack[books.used++];
}

void say_full() {
  static std::atomic<bool> said{false};
  if (!said.exchange(true)) report_off("resume", "more than 32,768 threads on stacks of their own");
}

// Called with the lock held, for a stack that nobody uses any more.
void release_held(Stack* s) {
  char* base = s->base.load();
  if (s->ours) {
    leave_table(s, base);
    stack_cache::give({base, s->size, s->guard});
  } else {
    books.given--;
  }
  s->base.store(nullptr);
  books.free_slots.push(s);
}

void unmap_surplus() {
  for (;;) {
    stack_cache::Memory surplus;
    {
      OwnedGuard guard(books.lock);
      surplus = stack_cache::take_surplus();
    }
    if (surplus.base == nullptr) return;
    stack_cache::unmap(surplus);
  }
}

void release(Stack* s) {
  destructors::release(s->destructors);
  s->destructors = nullptr;
  {
    OwnedGuard guard(books.lock);
    release_held(s);
  }
  unmap_surplus();
}

// They come in either order, from two threads, and both may come at once.
void set(Stack* s, std::uint8_t end) {
  const std::uint8_t before = s->ends.fetch_or(end);
  if ((before & end) == 0 && before != 0) release(s);
}

Stack* of(pthread_t handle) {
  Table* all = table.existing();
  if (all == nullptr) return nullptr;
  OwnedGuard guard(books.lock);
  const std::size_t block = books.block.load(std::memory_order_relaxed);
  if (block != 0) {
    const auto* end = reinterpret_cast<const char*>(handle) + block;
    for (Stack* s = bucket(end); s != nullptr; s = s->next_same) {
      if (holds(*s, handle)) return s;
    }
    if (books.given == 0) return nullptr;
  }
  for (int i = 0; i < books.used; i++) {
    if (holds(all->stack[i], handle)) return &all->stack[i];
  }
  return nullptr;
}

// The kernel clears libc's word as the last thing that it does with a thread's memory.
bool kernel_has_left(const Stack& s) {
  const std::atomic<int>* tid = image::tid_word(s.handle);
  return tid != nullptr && tid->load(std::memory_order_acquire) <= 0;
}

// Detached threads that have ended, a few each time: they are not waited for by anybody.
void sweep() {
  constexpr int kMost = 4;
  Stack* ready[kMost];
  int count = 0;
  {
    OwnedGuard guard(books.lock);
    int seen = 0;
    for (Stack* s = books.ended.first(); s != nullptr && count < kMost && seen < 2 * kMost;
         s = s->next, seen++) {
      if ((s->ends.load() & kLoose) != 0 && kernel_has_left(*s)) ready[count++] = s;
    }
    for (int i = 0; i < count; i++) books.ended.remove(ready[i]);
  }
  for (int i = 0; i < count; i++) release(ready[i]);
}

}  // namespace

bool holds(const Stack& s, pthread_t handle) {
  const auto base = reinterpret_cast<std::uintptr_t>(s.base.load(std::memory_order_acquire));
  return base > 1 && static_cast<std::uintptr_t>(handle) - base < s.size;
}

char* given(const pthread_attr_t* attributes, std::size_t& size) {
  void* base = nullptr;
  if (attributes == nullptr || pthread_attr_getstack(attributes, &base, &size) != 0) return nullptr;
  // Without one glibc returns its null pointer less the size.
  return reinterpret_cast<std::uintptr_t>(base) + size != 0 ? static_cast<char*>(base) : nullptr;
}

Stack* take(const pthread_attr_t* attributes, pthread_attr_t& own) {
  std::size_t size = 0;
  char* base = given(attributes, size);
  const bool ours = base == nullptr;
  if (!ours && size < kLeastGiven) return nullptr;
  // Bit by bit: what the caller's attributes point to stays the caller's.
  if (attributes != nullptr) {
    memcpy(&own, attributes, sizeof own);
  } else {
    pthread_attr_init(&own);
  }
  int detach = PTHREAD_CREATE_JOINABLE;
  pthread_attr_getdetachstate(&own, &detach);
  if (books.ended.first() != nullptr) sweep();
  std::size_t guard = 0;
  stack_cache::Memory memory{base, size, 0};
  if (ours) {
    pthread_attr_getstacksize(&own, &size);
    pthread_attr_getguardsize(&own, &guard);
    guard = round_up(guard);
    size = round_up(size);
    if (guard >= size) return nullptr;  // libc refuses it
    size += kPad;
  }
  Stack* s;
  {
    OwnedGuard held(books.lock);
    s = take_slot();
    if (s != nullptr && ours) memory = stack_cache::take(size, guard);
    if (s != nullptr && !ours) books.given++;
  }
  if (s == nullptr) {
    say_full();
    return nullptr;
  }
  if (memory.base == nullptr) memory = stack_cache::map(size, guard);
  if (memory.base == nullptr) {
    OwnedGuard held(books.lock);
    books.free_slots.push(s);
    return nullptr;  // libc will say so
  }
  base = memory.base;
  size = memory.size;
  pthread_attr_setstack(&own, base, size);
  s->size = size;
  s->guard = guard;
  s->ours = ours;
  s->stands = false;
  s->standing.store(Standing::no, std::memory_order_relaxed);
  s->missed.store(0, std::memory_order_relaxed);
  s->next_waiter = nullptr;
  s->has_fellow = false;
  s->put_off = false;
  s->left_alone = false;
  s->ends.store(detach == PTHREAD_CREATE_DETACHED ? kLoose : 0);
  s->owner.store(nullptr);
  s->handle = 0;
  s->frame = nullptr;
  s->whole.store(false);
  s->mask = 0;
  s->destructors = nullptr;
  s->image = nullptr;
  s->asked.store(false);
  s->asked_at = 0;
  s->in_handler = false;
  s->own_mask_calls = false;
  s->again = false;
  OwnedGuard held(books.lock);
  s->base.store(base, std::memory_order_release);
  if (ours) enter_table(s, base);
  return s;
}

void tell_guard(pthread_t handle, pthread_attr_t* attributes) {
  const Stack* s = of(handle);
  if (s != nullptr && s->ours) pthread_attr_setguardsize(attributes, s->guard);
}

void give_back(Stack* s) { release(s); }

void begun(Stack& s) {
  if (!s.ours || books.block.load(std::memory_order_relaxed) != 0) return;
  const char* end = s.base.load(std::memory_order_relaxed) + s.size;
  books.block.store(static_cast<std::size_t>(end - reinterpret_cast<const char*>(s.handle)));
}

void ending(Stack& s) {
  s.owner.store(nullptr);
  s.standing.store(Standing::no, std::memory_order_relaxed);
  if (s.ours) {
    // As glibc's advise_stack_range: what lies more than PTHREAD_STACK_MIN below.
    constexpr std::size_t kKept = std::size_t{16} << 10;
    char* base = s.base.load(std::memory_order_relaxed);
    const auto used = static_cast<std::size_t>(base + s.size - static_cast<const char*>(s.frame));
    const std::size_t kept = round_up(used + kPad + kKept);
    if (s.size > kept + kKept) {
      sys::call(SYS_madvise, sys::arg(base), static_cast<long>(s.size - kept), MADV_DONTNEED);
    }
  }
  OwnedGuard guard(books.lock);
  books.ended.push(&s);
}

void thread_gone(Thread& t) {
  // Whoever takes the stack out of the record says that the thread is gone: a join comes from
  // another thread than the look at the kernel.
  if (Stack* s = t.stack.exchange(nullptr)) set(s, kGone);
}

void will_unwind(pthread_t handle) {
  Stack* s = of(handle);
  if (s != nullptr) s->missed.store(~std::uint32_t{0});
}

void joined(pthread_t handle) {
  Stack* s = of(handle);
  if (s == nullptr) return;
  Thread* owner = s->owner.load();
  if (owner == nullptr) {  // it has ended by itself
    {
      OwnedGuard guard(books.lock);
      books.ended.remove(s);
    }
    return release(s);
  }
  Stack* expected = s;
  if (owner->stack.compare_exchange_strong(expected, nullptr)) set(s, kGone);
  set(s, kLoose);
}

void detached(pthread_t handle) {
  Stack* s = of(handle);
  if (s == nullptr) return;
  if (s->owner.load() == nullptr) {  // it is swept when the kernel has left it
    s->ends.fetch_or(kLoose);
    return;
  }
  set(s, kLoose);
}

namespace {
// A handler that forks may have interrupted the lists' own code in this thread, which goes on with
// them afterwards, here and in the child.
FORKMEND_TLS bool locked_for_fork;
}  // namespace

void before_fork() {
  if (books.lock.is_mine()) return;
  books.lock.lock();
  locked_for_fork = true;
}
void after_fork_parent() {
  if (!locked_for_fork) return;
  locked_for_fork = false;
  books.lock.unlock();
}

namespace {

// A thread that had left its record and not yet the kernel, or that the calling thread was about to
// join when a handler of its own forked, will never be seen to end: libc would wait for it for
// ever, since it clears the word of its own stacks alone.
void say_gone(pthread_t handle) {
  std::atomic<int>* tid = image::tid_word(handle);
  if (tid != nullptr && tid->load(std::memory_order_relaxed) > 0)
    tid->store(0, std::memory_order_relaxed);
}

void end_own_join() {
  const Thread* self = threads::self();
  if (self == nullptr || self->wait.call.load(std::memory_order_relaxed) != WaitCall::join) return;
  const auto handle = reinterpret_cast<pthread_t>(self->wait.object);
  if (of(handle) != nullptr) say_gone(handle);
}

}  // namespace

void after_fork_child(const ChildEntry&) {
  if (locked_for_fork) {
    locked_for_fork = false;
    books.lock.unlock();
  } else if (!books.lock.is_mine() && !books.lock.is_free()) {
    // Nobody announced the fork, and a lost thread was at the lists: what is in them is given up.
    books.free_slots = {};
    books.ended = {};
    stack_cache::forget();
    books.lock.unlock();
  }
  for (Stack* s = books.ended.first(); s != nullptr; s = s->next) say_gone(s->handle);
  if (!books.lock.is_mine()) end_own_join();
}

}  // namespace forkmend::threads::stacks

void forkmend::threads::read_mask(Stack& s) {
  sys::call(SYS_rt_sigprocmask, SIG_SETMASK, 0, sys::arg(&s.mask), sizeof s.mask);
}
