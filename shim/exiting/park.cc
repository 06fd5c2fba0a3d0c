#include "shim/exiting/park.h"

#include "shim/base/clock.h"
#include "shim/base/load.h"
#include "shim/base/settings.h"
#include "shim/base/signals.h"
#include "shim/base/syscall.h"
#include "shim/exiting/stuck.h"
#include "shim/python/finalizing.h"
#include "shim/threads/thread.h"

namespace forkmend::exiting {

std::atomic<int> parked{0};

namespace {

// One parked thread at a time looks after the thread that exits.
std::atomic<int> watcher{0};  // its tid

// All but the two signals that libc uses among its own threads: setuid() waits until every thread
// has answered.
void block_signals() {
  const unsigned long mask = ~sys::kLibcSignals;
  sys::call(SYS_rt_sigprocmask, SIG_BLOCK, sys::arg(&mask), 0, sizeof mask);
}

bool watches(int tid) {
  int other = watcher.load(std::memory_order_relaxed);
  if (other == tid) return true;
  if (other != 0 && sys::thread_exists(sys::getpid(), other)) return false;
  return watcher.compare_exchange_strong(other, tid);
}

// The thread ends for the kernel and for whoever joins it. libc is not told: it would unwind.
// Another one looks after the thread that exits from now on.
[[noreturn]] void end(int tid) {
  int mine = tid;
  if (watcher.compare_exchange_strong(mine, 0)) {
    threads::for_each_live([](Thread& t) {
      if (t.exit_park.load() == kParkedForExit) sys::futex_wake_all(&t.exit_park);
      return true;
    });
  }
  for (;;) sys::call(SYS_exit, 0);
}

// Looks often at first, since most exits are over in milliseconds; then seldom enough to cost
// nothing, and often enough to have looked twice before the deadline.
constexpr Nanoseconds kFirstLook = 5 * kMillisecond;
constexpr Nanoseconds kLastLook = 250 * kMillisecond;
// How long the others wait before they see whether one still looks: it wakes them when it ends.
constexpr timespec kTurn{1, 0};

}  // namespace

void park() {
  block_signals();
  const int tid = sys::gettid();
  Thread* t = threads::self();
  std::atomic<std::uint32_t> unrecorded{kParkedForExit};
  std::atomic<std::uint32_t>& word = t != nullptr ? t->exit_park : unrecorded;
  if (t != nullptr) {
    t->parked_from = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    t->state.store(ThreadState::parked);  // a fork has nothing to wait for
  }
  word.store(kParkedForExit);
  parked.fetch_add(1);
  const Nanoseconds longest = settings.exit / 4 < kFirstLook
                                  ? kFirstLook
                                  : (settings.exit / 4 < kLastLook ? settings.exit / 4 : kLastLook);
  Stuck stuck;
  Nanoseconds pause = kFirstLook;
  for (;;) {
    const bool mine = watches(tid);
    const timespec timeout = to_timespec(pause);
    sys::futex_wait(&word, kParkedForExit, mine ? &timeout : &kTurn);
    if (word.load() == kEndForJoin) end(tid);
    if (!mine) continue;
    stuck.look(python::finalizing::exiting_tid());
    pause = pause * 2 < longest ? pause * 2 : longest;
  }
}

void end_for_join(pthread_t thread) {
  Thread* t = threads::live_with_handle(thread);
  if (t == nullptr) return;
  std::uint32_t expected = kParkedForExit;
  if (t->exit_park.compare_exchange_strong(expected, kEndForJoin))
    sys::futex_wake_all(&t->exit_park);
}

void before_thread_exit(const void* caller) {
  if (is_active() && python::finalizing::throws_out(caller)) park();
}

}  // namespace forkmend::exiting
