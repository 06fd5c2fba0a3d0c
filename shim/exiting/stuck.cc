#include "shim/exiting/stuck.h"

#include <pthread.h>

#include "shim/base/settings.h"
#include "shim/base/syscall.h"
#include "shim/exiting/park.h"
#include "shim/locks/layout.h"
#include "shim/reporting/event.h"
#include "shim/threads/kernel_state.h"
#include "shim/threads/thread.h"

namespace forkmend::exiting {
namespace {

template <class T>
bool read(std::uintptr_t from, T& out) {
  return sys::copy_memory(&out, reinterpret_cast<const void*>(from), sizeof out) == sizeof out;
}

template <class Matches>
Thread* find_parked(Matches&& matches) {
  Thread* found = nullptr;
  threads::for_each_live([&](Thread& t) {
    if (t.exit_park.load() == kParkedForExit && matches(t)) found = &t;
    return found == nullptr;
  });
  return found;
}

// A plain mutex whose word has a waiter: normal, recursive, errorcheck or adaptive, private, not
// robust and not of priority inheritance, of which the kernel keeps part.
bool open_mutex(std::uintptr_t word) {
  pthread_mutex_t copy;
  if (!layout::mutex_known() || !read(word, copy)) return false;
  constexpr int kTypes = 3, kContended = 2;
  if ((copy.__data.__kind & ~kTypes) != 0 || copy.__data.__lock != kContended) return false;
  const int owner = layout::mutex_owner(&copy);
  Thread* t = find_parked([&](const Thread& each) { return each.tid.load() == owner; });
  if (t == nullptr) return false;
  auto* mutex = reinterpret_cast<pthread_mutex_t*>(word);
  report_exit_freed(*t, mutex, "mutex", "opened");  // first: the process may end at once
  layout::mutex_open(mutex);
  sys::futex_wake_all(reinterpret_cast<std::atomic<std::uint32_t>*>(word));
  return true;
}

// A join waits on the word in which the kernel clears the thread's id. It lies in what pthread_t
// points to.
bool end_joined(std::uintptr_t word) {
  int value;
  if (!read(word, value)) return false;
  constexpr std::uintptr_t kDescriptor = 4096;  // 2,304 bytes on 2.31 to 2.43
  Thread* t = find_parked([&](const Thread& each) {
    return each.tid.load() == value &&
           word - static_cast<std::uintptr_t>(each.handle) < kDescriptor;
  });
  if (t == nullptr) return false;
  report_exit_freed(*t, reinterpret_cast<const void*>(word), "thread", "ended");
  end_for_join(t->handle);
  return true;
}

// Rust's mutexes, and whoever else has the word with three states (Drepper): 0 free, 1 locked,
// 2 locked and waited for. A guard is a pointer to it, so the stack of the thread that holds one
// has the word's address, above where it was parked.
bool free_word(std::uintptr_t word) {
  int value;
  constexpr int kContended = 2;
  if (!read(word, value) || value != kContended) return false;
  constexpr std::size_t kDepth = 256 * 1024;  // deeper than any stack of frames that was measured
  Thread* t = find_parked([&](const Thread& each) {
    std::uintptr_t slots[64];
    for (std::uintptr_t at = each.parked_from & ~std::uintptr_t{7}; at - each.parked_from < kDepth;
         at += sizeof slots) {
      const std::size_t size =
          sys::copy_memory(slots, reinterpret_cast<const void*>(at), sizeof slots);
      for (std::size_t i = 0; i < size / sizeof slots[0]; i++) {
        if (slots[i] == word) return true;
      }
      if (size < sizeof slots) break;  // the end of the stack
    }
    return false;
  });
  if (t == nullptr) return false;
  auto* state = reinterpret_cast<std::atomic<std::uint32_t>*>(word);
  report_exit_freed(*t, state, "futex", "opened");
  state->store(0);
  sys::futex_wake_all(state);
  return true;
}

}  // namespace

void Stuck::look(int tid) {
  const KernelActivity activity = kernel_activity(tid);
  const bool waits = activity.syscall == SYS_futex && activity.argument != 0;
  if (!waits || activity.argument != word_ || activity.sp != sp_) {
    word_ = waits ? activity.argument : 0;
    sp_ = activity.sp;
    since_ = now();
    return;
  }
  if (open_mutex(word_) || end_joined(word_)) return;
  if (now() - since_ >= settings.exit) free_word(word_);
}

}  // namespace forkmend::exiting
