#include "shim/threads/thread.h"

#include <sys/mman.h>

#include "shim/base/armed.h"
#include "shim/base/spinlock.h"
#include "shim/base/syscall.h"
#include "shim/base/text.h"
#include "shim/reporting/event.h"

namespace forkmend::threads {

FORKMEND_TLS Thread* current_thread;
FORKMEND_SAME_PAGE std::atomic<std::uint32_t> generation{0};
FORKMEND_SAME_PAGE std::atomic<int> lost{0};
FORKMEND_SAME_PAGE constinit Books books{};
FORKMEND_SAME_PAGE std::atomic<int> first_own{0};
FORKMEND_SAME_PAGE std::atomic<int> first_live{1};
FORKMEND_SAME_PAGE std::atomic<Thread*> survivor{nullptr};

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
  t.tid.store(sys::gettid(), std::memory_order_relaxed);
  t.handle.store(pthread_self(), std::memory_order_relaxed);
  copy_text(t.name, "main thread");
  t.state.become({ThreadState::running, 0, 0});
  survivor.store(&t, std::memory_order_relaxed);
  current_thread = &t;
  books.live.store(1, std::memory_order_relaxed);
}

void begin_anew(Thread& t) {
  t.gated.store(false, std::memory_order_relaxed);
  t.invisible.store(0, std::memory_order_relaxed);
  t.wait.call.store(WaitCall::none, std::memory_order_relaxed);
  t.libc_call.frame.store(nullptr, std::memory_order_relaxed);
  t.libc_call.closed_door = false;
  t.libc_call.left_others_inside = false;
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
    SpinGuard guard(Rank::records);
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
  t->tid.store(0, std::memory_order_relaxed);
  for (int& former : t->former_tids) former = 0;
  t->name[0] = '\0';
  t->handle.store(0, std::memory_order_relaxed);
  t->start_c11 = nullptr;
  t->may_make_way.store(false, std::memory_order_relaxed);
  t->detaches.store(false, std::memory_order_relaxed);
  t->of_handle.store(0, std::memory_order_relaxed);
  t->runtime = nullptr;
  t->stack.store(nullptr, std::memory_order_relaxed);
  t->registered = false;
  begin_anew(*t);
  t->state.become({ThreadState::starting, generation.load(std::memory_order_relaxed), serial});
  books.live.fetch_add(1, std::memory_order_relaxed);
  return t;
}

void release(Thread* t) {
  t->state.store(ThreadState::free, std::memory_order_release);
  release_claimed(t);
}

bool claim(Thread& t, Identity seen) { return t.state.change(seen, ThreadState::free); }

void release_claimed(Thread* t) {
  books.live.fetch_sub(1, std::memory_order_relaxed);
  SpinGuard guard(Rank::records);
  t->next_free = books.free_list;
  books.free_list = t;
}

void go_on(Thread& t, ThreadState state) {
  first_live.store(0, std::memory_order_relaxed);
  t.state.become({state, generation.load(std::memory_order_relaxed), t.serial()});
}

Thread* live_with_handle(pthread_t handle) {
  Thread* found = nullptr;
  for_each_live([&](Thread& t) {
    Identity identity = t.state.identity();
    bool same = false;
    if (read_of(t, identity, [&] { same = pthread_equal(t.handle.load(), handle); }) && same &&
        is_live(identity) && has_begun(identity.state()))
      found = &t;
    return found == nullptr;
  });
  return found;
}

void note_former_tid(Thread& t, int tid) {
  for (int i = kFormerTids - 1; i > 0; i--) t.former_tids[i] = t.former_tids[i - 1];
  t.former_tids[0] = tid;
}

void after_fork_child(const ChildEntry&, int tid) {
  generation.store(generation.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  Thread* t = current_thread;
  // The free list may have been caught half changed: it is dropped, lost records stay readable.
  books.free_list = nullptr;
  const int before = books.live.load(std::memory_order_relaxed);
  const int survivors = t != nullptr ? 1 : 0;
  lost.store(lost.load(std::memory_order_relaxed) + before - survivors, std::memory_order_relaxed);
  books.live.store(survivors, std::memory_order_relaxed);
  books.exiting.store(0, std::memory_order_relaxed);
  const int own = used.load(std::memory_order_relaxed);
  first_own.store(own, std::memory_order_relaxed);
  first_live.store(own, std::memory_order_relaxed);
  survivor.store(t, std::memory_order_relaxed);
  if (t == nullptr) return;
  note_former_tid(*t, t->tid.load(std::memory_order_relaxed));
  t->tid.store(tid, std::memory_order_relaxed);
  t->state.become({ThreadState::running, generation.load(std::memory_order_relaxed), t->serial()});
}

Thread* survivor_with(int former_tid) {
  Thread* found = nullptr;
  bool taken = false;
  for_each_live([&](Thread& t) {
    Identity identity = t.state.identity();
    bool now = false, before = false;
    if (!read_of(t, identity,
                 [&] {
                   now = t.tid.load(std::memory_order_acquire) == former_tid;
                   before = has_been(t, former_tid);
                 }) ||
        !is_live(identity))
      return true;
    taken = now;
    if (before) found = &t;
    return !taken;
  });
  return taken ? nullptr : found;
}

}  // namespace forkmend::threads
