#include "shim/threads/thread.h"

#include <sys/mman.h>

#include "shim/base/armed.h"
#include "shim/base/spinlock.h"
#include "shim/base/syscall.h"
#include "shim/base/text.h"
#include "shim/reporting/event.h"
#include "shim/threads/apart.h"

namespace forkmend::threads {

FORKMEND_TLS Thread* current_thread;
FORKMEND_SAME_PAGE std::atomic<std::uint32_t> generation{0};
FORKMEND_SAME_PAGE std::atomic<int> lost{0};
FORKMEND_SAME_PAGE constinit Books books{};

namespace {

// 128 records a chunk (about 48 KiB) keep a small program small; 2,048 chunks are 262,144 threads,
// eight times Linux's default limit of a process (32,768).
constexpr int kChunkThreads = 128;
constexpr int kMaxChunks = 2048;

struct Chunk {
  Thread threads[kChunkThreads];
};

FORKMEND_SAME_PAGE constinit Thread main_record{};
std::atomic<Chunk*> chunks[kMaxChunks];
std::atomic<int> used{1};  // place 0 is the main thread's

Thread* fresh() {
  const int place = used.load(std::memory_order_relaxed);
  const int chunk = (place - 1) / kChunkThreads;
  if (chunk >= kMaxChunks) return nullptr;
  if (chunks[chunk].load(std::memory_order_relaxed) == nullptr) {
    const long memory = sys::call(SYS_mmap, 0, sizeof(Chunk), PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory < 0 && memory > -4096) return nullptr;
    chunks[chunk].store(reinterpret_cast<Chunk*>(memory), std::memory_order_release);
  }
  used.store(place + 1, std::memory_order_release);
  return at(place);
}

}  // namespace

int highest() { return used.load(std::memory_order_acquire); }

Thread* at(int place) {
  if (place == 0) return &main_record;
  Chunk* chunk = chunks[(place - 1) / kChunkThreads].load(std::memory_order_acquire);
  return chunk == nullptr ? nullptr : &chunk->threads[(place - 1) % kChunkThreads];
}

void adopt_main_thread() {
  Thread& t = main_record;
  t.serial = 0;
  t.generation = 0;
  t.tid.store(sys::gettid(), std::memory_order_relaxed);
  t.handle = pthread_self();
  copy_text(t.name, "main thread");
  t.state.store(ThreadState::running, std::memory_order_relaxed);
  current_thread = &t;
  books.live.store(1, std::memory_order_relaxed);
}

void begin_anew(Thread& t) {
  t.gated.store(false, std::memory_order_relaxed);
  t.invisible.store(0, std::memory_order_relaxed);
  t.wait.call.store(WaitCall::none, std::memory_order_relaxed);
  t.activity = {-1, 0, 0, 0};
  t.exit_park.store(0, std::memory_order_relaxed);
  t.watch.slicing = false;
  t.held.count = 0;
  t.held.overflow = 0;
  t.initialisers.count = 0;
  for (const void*& object : t.signalled) object = nullptr;
}

Thread* allocate() {
  Thread* t;
  std::uint32_t serial;
  {
    SpinGuard guard(books.lock);
    t = books.free_list;
    if (t != nullptr) {
      books.free_list = t->next_free;
    } else {
      t = fresh();
    }
    serial = books.next_serial++;
  }
  if (t == nullptr) {
    static std::atomic<bool> said{false};
    if (!said.exchange(true))
      report_off("thread records", "more than 262,144 threads, or no memory: new ones go unseen");
    return nullptr;
  }
  t->generation = generation.load(std::memory_order_relaxed);
  t->serial = serial;
  t->tid.store(0, std::memory_order_relaxed);
  for (int& former : t->former_tids) former = 0;
  t->name[0] = '\0';
  t->handle = {};
  t->start_c11 = nullptr;
  t->apart.store(kStays, std::memory_order_relaxed);
  t->detaches.store(false, std::memory_order_relaxed);
  t->settled.store(false, std::memory_order_relaxed);
  t->kept.store(false, std::memory_order_relaxed);
  t->runtime = nullptr;
  t->stack.store(nullptr, std::memory_order_relaxed);
  t->registered = false;
  begin_anew(*t);
  t->state.store(ThreadState::starting, std::memory_order_release);
  books.live.fetch_add(1, std::memory_order_relaxed);
  return t;
}

void release(Thread* t) {
  books.live.fetch_sub(1, std::memory_order_relaxed);
  t->state.store(ThreadState::free, std::memory_order_release);
  SpinGuard guard(books.lock);
  t->next_free = books.free_list;
  books.free_list = t;
}

void after_fork_child(const ChildEntry&, int tid) {
  generation.store(generation.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  Thread* t = current_thread;
  // The free list may have been caught half changed: it is dropped, lost records stay readable.
  books.free_list = nullptr;
  books.lock.unlock();
  const int before = books.live.load(std::memory_order_relaxed);
  const int survivors = t != nullptr ? 1 : 0;
  lost.store(lost.load(std::memory_order_relaxed) + before - survivors, std::memory_order_relaxed);
  books.live.store(survivors, std::memory_order_relaxed);
  if (t == nullptr) return;
  t->generation = generation.load(std::memory_order_relaxed);
  for (int i = kFormerTids - 1; i > 0; i--) t->former_tids[i] = t->former_tids[i - 1];
  t->former_tids[0] = t->tid.load(std::memory_order_relaxed);
  t->tid.store(tid, std::memory_order_relaxed);
  t->state.store(ThreadState::running, std::memory_order_relaxed);
}

Thread* survivor_with(int former_tid) {
  Thread* found = nullptr;
  bool taken = false;
  for_each([&](Thread& t) {
    if (!is_live(t)) return true;
    taken = t.tid.load(std::memory_order_relaxed) == former_tid;
    if (has_been(t, former_tid)) found = &t;
    return !taken;
  });
  return taken ? nullptr : found;
}

}  // namespace forkmend::threads
