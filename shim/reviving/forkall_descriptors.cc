#include "shim/reviving/forkall_descriptors.h"

#include "shim/base/clock.h"
#include "shim/base/syscall.h"
#include "shim/forking/protocol.h"
#include "shim/reviving/forkall_threads.h"
#include "shim/reviving/kernel_objects.h"
#include "shim/reviving/resume.h"
#include "shim/waiting/restart.h"

namespace forkmend::forkall {
namespace {

// Whether the parent lives needs no look any more.
FORKMEND_SAME_PAGE std::atomic<bool> parent_seen{false};
FORKMEND_SAME_PAGE std::atomic<bool> parent_ended{false};

// Descriptors that were written to while nobody knew for whom. More are forgotten.
constexpr int kMostUnanswered = 16;
std::atomic<int> unanswered[kMostUnanswered];
FORKMEND_SAME_PAGE std::atomic<int> unanswered_count{0};

// A process that goes into the background ends its parent soon. One whose parent dies later is an
// orphan by accident, and one of many, perhaps.
constexpr Nanoseconds kBackground = 10 * kSecond;

bool is_set(const Thread& t, int fd) {
  return t.wait.call.load() == WaitCall::epoll_wait &&
         t.wait.object == reinterpret_cast<const void*>(static_cast<long>(fd));
}

bool watches(const Thread& t, int fd) {
  if (fd < 0) return false;
  return t.wait.call.load() == WaitCall::epoll_wait &&
         kernel_objects::set_watches(static_cast<int>(reinterpret_cast<long>(t.wait.object)), fd);
}

template <class Fits>
void meet_first(Fits&& fits, const char* why) {
  Thread* found = nullptr;
  for_each_waiting([&](Thread& t) {
    if (found == nullptr && fits(t)) found = &t;
  });
  if (found != nullptr) meet(*found, why, true);
}

bool waits_for_descriptors() {
  bool any = false;
  for_each_waiting([&](Thread& t) {
    const WaitCall call = t.wait.call.load();
    any = any || call == WaitCall::epoll_wait;
  });
  return any;
}

}  // namespace

namespace {

bool same_kind(const Thread& a, const Thread& b) {
  return a.runtime == b.runtime && a.start == b.start && a.start_c11 == b.start_c11 &&
         a.start_symbol == b.start_symbol;
}

bool has_gone_on(const Thread& t) {
  const Stack* s = t.stack.load(std::memory_order_relaxed);
  return s != nullptr && s->stands && threads::is_live(t) && t.former_tids[0] != 0;
}

Thread* watcher_of(int fd, int other) {
  Thread* found = nullptr;
  for_each_waiting([&](Thread& t) {
    if (found == nullptr && (watches(t, fd) || watches(t, other))) found = &t;
  });
  return found;
}

void note_unanswered(int fd) {
  for (int i = 0; i < unanswered_count.load(); i++) {
    if (unanswered[i].load() == fd) return;
  }
  const int at = unanswered_count.load();
  if (at == kMostUnanswered) return;
  unanswered[at].store(fd);
  unanswered_count.store(at + 1);
}

constexpr const char* kWritten = "a descriptor that it waits for was written to";

}  // namespace

void wrote(int fd, const void* caller) {
  sees_parent();
  int other = -1;
  if (resume::is_reviving() || !kernel_objects::is_noted(fd, other)) return;
  Thread* t = watcher_of(fd, other);
  if (t == nullptr) return;
  const Thread* self = threads::self();
  if (!kernel_objects::wakes_itself(fd, caller, other) &&
      !(self != nullptr && has_gone_on(*self)) && !t->stack.load()->has_fellow)
    return note_unanswered(fd);
  kernel_objects::wrote(fd);
  meet(*t, kWritten, true);
}

void went_on(const Thread& one) {
  // It may have ended by the time that another one is written to.
  for_each_waiting([&](Thread& t) {
    if (same_kind(t, one)) t.stack.load()->has_fellow = true;
  });
  for (int i = 0; i < unanswered_count.load(); i++) {
    const int fd = unanswered[i].load();
    int other = -1;
    if (fd < 0 || !kernel_objects::is_noted(fd, other)) continue;
    Thread* t = watcher_of(fd, other);
    if (t == nullptr || !same_kind(*t, one)) continue;
    unanswered[i].store(-1);
    kernel_objects::wrote(fd);
    meet(*t, kWritten, true);
  }
}

void changes_set(int set) {
  if (resume::is_reviving()) return;
  meet_first([&](const Thread& t) { return is_set(t, set); }, "its epoll set was changed");
}

void arms(int fd) {
  if (resume::is_reviving() || !waits_for_descriptors()) return;
  meet_first([&](const Thread& t) { return watches(t, fd); },
             "a timer that it waits for was armed");
}

void sees_parent() {
  if (parent_seen.load(std::memory_order_relaxed) || is_in_fork() || resume::is_reviving()) return;
  const forking::Origin& origin = forking::origin();
  if (now() - origin.monotonic > kBackground) {
    parent_seen.store(true);
    return;
  }
  const int parent = sys::getppid();  // 0: it is outside of this process's namespace
  if (parent == 0 || parent == origin.parent_pid || restart::handled_signal_blocked()) return;
  if (parent_seen.exchange(true)) return;
  parent_ended.store(true);
  threads::for_each_lost([](Thread& t) {
    if (!may_go_on(t)) return true;
    go_on(t, "the process that it lived in has ended");
    return true;
  });
}

bool parent_has_ended() { return parent_ended.load(std::memory_order_relaxed); }

void forget_descriptors() {
  if (parent_seen.load(std::memory_order_relaxed)) parent_seen.store(false);
  if (parent_ended.load(std::memory_order_relaxed)) parent_ended.store(false);
  if (unanswered_count.load(std::memory_order_relaxed) != 0) unanswered_count.store(0);
  kernel_objects::after_fork_child();
}

}  // namespace forkmend::forkall
