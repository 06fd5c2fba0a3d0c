#include "shim/threads/stacks.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "shim/base/lazy.h"
#include "shim/base/syscall.h"
#include "shim/reporting/event.h"
#include "shim/threads/destructors.h"
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
std::atomic<int> used{0};

std::size_t round_up(std::size_t size) { return (size + kPage - 1) & ~(kPage - 1); }

// Marks a slot as taken. No lock: a fork in the middle leaves at most one slot unused.
Stack* take_slot() {
  Table* all = table.get();
  if (all == nullptr) return nullptr;
  char* const kTaken = reinterpret_cast<char*>(1);
  for (int i = 0; i < kMostStacks; i++) {
    char* free = nullptr;
    if (!all->stack[i].base.compare_exchange_strong(free, kTaken)) continue;
    int highest = used.load();
    while (highest <= i && !used.compare_exchange_weak(highest, i + 1)) {
    }
    return &all->stack[i];
  }
  static std::atomic<bool> said{false};
  if (!said.exchange(true)) report_off("resume", "more than 32,768 threads on stacks of their own");
  return nullptr;
}

void release(Stack* s) {
  destructors::release(s->destructors);
  char* base = s->base.load();
  if (s->ours) sys::call(SYS_munmap, sys::arg(base - kPage), static_cast<long>(s->size + kPage));
  s->base.store(nullptr);
}

// They come in either order, from two threads, and both may come at once.
void set(Stack* s, std::uint8_t end) {
  const std::uint8_t before = s->ends.fetch_or(end);
  if ((before & end) == 0 && before != 0) release(s);
}

Stack* of(pthread_t handle) {
  const int n = used.load(std::memory_order_acquire);
  if (n == 0) return nullptr;
  Table* all = table.existing();
  for (int i = 0; i < n; i++) {
    if (holds(all->stack[i], handle)) return &all->stack[i];
  }
  return nullptr;
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
  Stack* s = take_slot();
  if (s == nullptr) return nullptr;
  if (ours) {
    pthread_attr_getstacksize(&own, &size);
    size = round_up(size) + kPad;
    const long memory = sys::call(SYS_mmap, 0, static_cast<long>(size + kPage), PROT_NONE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (memory < 0 && memory > -4096) {
      s->base.store(nullptr);
      return nullptr;  // libc will say so
    }
    base = reinterpret_cast<char*>(memory) + kPage;
    sys::call(SYS_mprotect, sys::arg(base), static_cast<long>(size), PROT_READ | PROT_WRITE);
  }
  pthread_attr_setstack(&own, base, size);
  s->size = size;
  s->ours = ours;
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
  s->base.store(base, std::memory_order_release);
  return s;
}

void tell_guard(pthread_t handle, pthread_attr_t* attributes) {
  const Stack* s = of(handle);
  if (s != nullptr && s->ours) pthread_attr_setguardsize(attributes, kPage);
}

void give_back(Stack* s) { release(s); }

void thread_gone(Thread& t) {
  // Whoever takes the stack out of the record says that the thread is gone: a join comes from
  // another thread than the look at the kernel.
  if (Stack* s = t.stack.exchange(nullptr)) set(s, kGone);
}

void joined(pthread_t handle) {
  Stack* s = of(handle);
  if (s == nullptr) return;
  Thread* owner = s->owner.load();
  Stack* expected = s;
  if (owner != nullptr && owner->stack.compare_exchange_strong(expected, nullptr)) set(s, kGone);
  set(s, kLoose);
}

void detached(pthread_t handle) {
  if (Stack* s = of(handle)) set(s, kLoose);
}

}  // namespace forkmend::threads::stacks

void forkmend::threads::read_mask(Stack& s) {
  sys::call(SYS_rt_sigprocmask, SIG_SETMASK, 0, sys::arg(&s.mask), sizeof s.mask);
}
