// shim/locks: layouts, held locks, adopted locks, orphans.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "shim/base/settings.h"
#include "shim/locks/adopted.h"
#include "shim/locks/held.h"
#include "shim/locks/layout.h"
#include "shim/locks/orphan.h"
#include "shim/reviving/callback.h"
#include "tests/unit/engine.h"

using namespace forkmend;

TEST_CASE("layouts are those of this libc") {
  layout::probe();
  CHECK(layout::mutex_known());
  CHECK(layout::cond_known());
  CHECK(layout::sem_known());
}

TEST_CASE("a mutex of every type shows its owner, and is whole after it was opened") {
  for (const int type : {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK,
                         PTHREAD_MUTEX_ADAPTIVE_NP}) {
    for (const bool robust : {false, true}) {
      CAPTURE(type);
      CAPTURE(robust);
      pthread_mutexattr_t attributes;
      pthread_mutexattr_init(&attributes);
      pthread_mutexattr_settype(&attributes, type);
      if (robust) pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
      pthread_mutex_t m;
      pthread_mutex_init(&m, &attributes);
      CHECK_FALSE(layout::looks_locked(&m));
      CHECK_FALSE(layout::mutex_shared(&m));  // glibc sets the flag of every robust one
      CHECK(layout::mutex_robust(&m) == robust);
      pthread_mutex_lock(&m);
      CHECK(layout::looks_locked(&m));
      CHECK(layout::mutex_owner(&m) == sys::gettid());
      if (!robust) {  // this thread is alive: its list of robust mutexes holds it
        layout::mutex_open(&m);
        CHECK(pthread_mutex_trylock(&m) == 0);
        CHECK(layout::mutex_owner(&m) == sys::gettid());
      }
      CHECK(pthread_mutex_unlock(&m) == 0);
      CHECK_FALSE(layout::looks_locked(&m));
    }
  }
}

TEST_CASE("process-shared locks are told apart") {
  pthread_mutexattr_t mutexes;
  pthread_mutexattr_init(&mutexes);
  pthread_mutexattr_setpshared(&mutexes, PTHREAD_PROCESS_SHARED);
  pthread_mutex_t m;
  pthread_mutex_init(&m, &mutexes);
  CHECK(layout::mutex_shared(&m));
  pthread_condattr_t conds;
  pthread_condattr_init(&conds);
  pthread_cond_t c;
  for (const clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC}) {
    pthread_condattr_setclock(&conds, clock);
    pthread_condattr_setpshared(&conds, PTHREAD_PROCESS_PRIVATE);
    pthread_cond_init(&c, &conds);
    CHECK_FALSE(layout::cond_shared(&c));
    pthread_condattr_setpshared(&conds, PTHREAD_PROCESS_SHARED);
    pthread_cond_init(&c, &conds);
    CHECK(layout::cond_shared(&c));
  }
  pthread_rwlock_t l = PTHREAD_RWLOCK_INITIALIZER;
  CHECK_FALSE(layout::rwlock_shared(&l));
  CHECK(layout::rwlock_writer(&l) == 0);
  pthread_rwlock_wrlock(&l);
  CHECK(layout::rwlock_writer(&l) == sys::gettid());
  pthread_rwlock_unlock(&l);
}

// --- held locks
// ---------------------------------------------------------------------------------------------

namespace {

const void* address(int n) {
  return reinterpret_cast<const void*>(static_cast<std::uintptr_t>(0x1000 + 16 * n));
}

bool holds(const Thread& t, const void* lock) {
  return std::find(t.held.lock, t.held.lock + t.held.count, lock) != t.held.lock + t.held.count;
}

}  // namespace

TEST_CASE("held locks: released in any order") {
  Thread t{};
  for (int i = 0; i < 5; i++) locks::push(t, address(i), HeldKind::mutex);
  locks::pop(t, address(2));
  locks::pop(t, address(0));
  CHECK(t.held.count == 3);
  CHECK(holds(t, address(1)));
  CHECK(holds(t, address(3)));
  CHECK(holds(t, address(4)));
  locks::pop(t, address(99));  // never taken: locked before the thread was registered
  CHECK(t.held.count == 3);
  CHECK(t.held.overflow == 0);
  // A recursive mutex counts as often as it was taken.
  locks::push(t, address(1), HeldKind::mutex);
  locks::pop(t, address(1));
  CHECK(holds(t, address(1)));
  for (const int i : {4, 1, 3}) locks::pop(t, address(i));
  CHECK(t.held.count == 0);
}

TEST_CASE("held locks: more than there is room for") {
  // jemalloc's prefork takes more than the slots hold and gives back in another order.
  constexpr int kLocks = kHeldSlots + 30;
  std::mt19937 random(7);
  for (int round = 0; round < 200; round++) {
    Thread t{};
    std::vector<int> order(kLocks);
    for (int i = 0; i < kLocks; i++) {
      order[static_cast<std::size_t>(i)] = i;
      locks::push(t, address(i), HeldKind::mutex);
    }
    CHECK(t.held.count == kHeldSlots);
    CHECK(t.held.overflow == 30);
    std::shuffle(order.begin(), order.end(), random);
    for (std::size_t i = 0; i < order.size(); i++) {
      // Never "holds nothing" while something is held.
      REQUIRE(t.held.count + t.held.overflow == kLocks - static_cast<int>(i));
      locks::pop(t, address(order[i]));
    }
    CHECK(t.held.count == 0);
    CHECK(t.held.overflow == 0);
  }
}

TEST_CASE("held locks: stale entries are dropped") {
  layout::probe();
  Thread t{};
  t.tid.store(sys::gettid());
  pthread_mutex_t mine = PTHREAD_MUTEX_INITIALIZER, opened = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mine);
  locks::push(t, &mine, HeldKind::mutex);
  locks::push(t, &opened, HeldKind::mutex);                           // another thread unlocked it
  locks::push(t, reinterpret_cast<const void*>(8), HeldKind::mutex);  // its memory is gone
  locks::push(t, &t, HeldKind::rwlock_read);  // owners of read locks are not known
  locks::drop_stale(t);
  CHECK(t.held.count == 2);
  CHECK(holds(t, &mine));
  CHECK(holds(t, &t));
  pthread_mutex_unlock(&mine);
}

// --- orphans
// --------------------------------------------------------------------------------------------------

TEST_CASE("an orphan's owner is a lost thread, and no live one has its tid") {
  CHECK(unit::in_fresh_process([] {
          layout::probe();
          static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
          std::atomic<bool> held{false};
          unit::start([&] {
            pthread_mutex_lock(&m);
            held = true;
            for (;;) pause();
          });
          while (!held) sched_yield();
          EXPECT(locks::orphan_owner(&m) == nullptr);  // its owner is alive
          const int owner = layout::mutex_owner(&m);
          const pid_t child = unit::fork_through_engine();
          if (child != 0) {
            EXPECT(unit::reap(child) == 0);
            _exit(0);
          }
          const Thread* lost = locks::orphan_owner(&m);
          EXPECT(lost != nullptr && lost->tid.load() == owner && lost->generation() == 0);
          // A new thread of this process that was given the same tid makes it nobody's orphan.
          Thread* fresh = threads::allocate();
          fresh->tid.store(owner);
          EXPECT(locks::orphan_owner(&m) == nullptr);
          fresh->tid.store(0);
          settings.orphans = Orphans::reset;
          EXPECT(locks::examine(&m) == locks::Contended::retry);
          EXPECT(locks::orphan_owner(&m) == nullptr);
          EXPECT(pthread_mutex_trylock(&m) == 0);
          // One that this process's own thread holds is none, in its children neither.
          const pid_t grandchild = unit::fork_through_engine();
          if (grandchild == 0) _exit(pthread_mutex_trylock(&m) == EBUSY ? 0 : 1);
          EXPECT(unit::reap(grandchild) == 0);
        }) == 0);
}

TEST_CASE("adopted locks are in the child as they were when adopted") {
  CHECK(unit::in_fresh_process([] {
          layout::probe();
          forkmend_runtime* runtime = reviving::add("unit", nullptr, nullptr, unit::here());
          static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER,
                                 ours = PTHREAD_MUTEX_INITIALIZER;
          static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
          static sem_t semaphore;
          sem_init(&semaphore, 0, 3);
          EXPECT(reviving::adopt_lock(runtime, FORKMEND_MUTEX, &mutex) == 0);
          EXPECT(reviving::adopt_lock(runtime, FORKMEND_MUTEX, &ours) == 0);
          EXPECT(reviving::adopt_lock(runtime, FORKMEND_RWLOCK, &rwlock) == 0);
          EXPECT(reviving::adopt_lock(runtime, FORKMEND_SEM, &semaphore) == 0);
          EXPECT(reviving::adopt_lock(runtime, FORKMEND_MUTEX, nullptr) == EINVAL);
          std::atomic<bool> held{false};
          unit::start(
              [&] {
                pthread_mutex_lock(&mutex);
                pthread_rwlock_wrlock(&rwlock);
                sem_wait(&semaphore);
                held = true;
                for (;;) pause();
              },
              runtime);
          while (!held) sched_yield();
          pthread_mutex_lock(&ours);
          settings.drain = 0;  // the thread above never parks
          const pid_t child = unit::fork_through_engine();
          if (child != 0) {
            EXPECT(unit::reap(child) == 0);
            int value = 0;
            sem_getvalue(&semaphore, &value);
            EXPECT(value == 2);  // nothing of it happened here
            EXPECT(pthread_mutex_trylock(&mutex) == EBUSY);
            _exit(0);
          }
          EXPECT(pthread_mutex_trylock(&mutex) == 0);
          EXPECT(pthread_rwlock_trywrlock(&rwlock) == 0);
          int value = 0;
          sem_getvalue(&semaphore, &value);
          EXPECT(value == 3);
          EXPECT(pthread_mutex_trylock(&ours) == EBUSY);  // the forking thread still holds it
          EXPECT(pthread_mutex_unlock(&ours) == 0);
        }) == 0);
}

TEST_CASE("adopted locks: a mutex caught between its word and its owner is nobody's") {
  // In the middle of libc's lock or unlock, inside a condition variable's wait: the thread counts
  // as parked there.
  CHECK(unit::in_fresh_process([] {
          layout::probe();
          forkmend_runtime* runtime = reviving::add("unit", nullptr, nullptr, unit::here());
          static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
          EXPECT(reviving::adopt_lock(runtime, FORKMEND_MUTEX, &mutex) == 0);
          settings.drain = 0;
          unit::start(
              [] {
                for (;;) pause();
              },
              runtime);
          mutex.__data.__lock = 1;
          mutex.__data.__nusers = 1;
          const pid_t child = unit::fork_through_engine();
          if (child == 0) _exit(pthread_mutex_trylock(&mutex));
          EXPECT(unit::reap(child) == 0);
        }) == 0);
}

TEST_CASE("adopted locks: there is room for 4,096, and what was forgotten makes room") {
  CHECK(unit::in_fresh_process([] {
          forkmend_runtime* runtime = reviving::add("unit", nullptr, nullptr, unit::here());
          static pthread_mutex_t mutexes[4097];
          int adopted = 0;
          for (pthread_mutex_t& m : mutexes) {
            pthread_mutex_init(&m, nullptr);
            if (reviving::adopt_lock(runtime, FORKMEND_MUTEX, &m) == 0) adopted++;
          }
          EXPECT(adopted == 4096);
          EXPECT(reviving::adopt_lock(runtime, FORKMEND_MUTEX, &mutexes[0]) == ENOSPC);
          reviving::remove(runtime);
          runtime = reviving::add("unit", nullptr, nullptr, unit::here());
          EXPECT(reviving::adopt_lock(runtime, FORKMEND_MUTEX, &mutexes[0]) == 0);
        }) == 0);
}
