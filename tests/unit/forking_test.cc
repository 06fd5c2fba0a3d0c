// shim/forking with real threads in one process: the gate, the safepoint, the protocol; and the
// callbacks of a runtime (shim/reviving).
#include <doctest/doctest.h>

#include <atomic>
#include <vector>

#include "shim/base/settings.h"
#include "shim/exiting/exit.h"
#include "shim/forking/gate.h"
#include "shim/forking/protocol.h"
#include "shim/forking/safepoint.h"
#include "shim/reviving/callback.h"
#include "shim/runtimes/runtime.h"
#include "shim/waiting/locks.h"
#include "shim/waiting/waits.h"
#include "tests/unit/engine.h"

using namespace forkmend;

namespace {

forkmend_runtime* make_runtime(const forkmend_callbacks* callbacks = nullptr,
                               void* user = nullptr) {
  return reviving::add("unit", callbacks, user, unit::here());
}

int count_state(ThreadState state) {
  int count = 0;
  threads::for_each_live([&](Thread& t) {
    if (t.registered && t.state.load() == state) count++;
    return true;
  });
  return count;
}

void until(const std::function<bool()>& holds) {
  while (!holds()) sched_yield();
}

}  // namespace

TEST_CASE("gate: open, closed, and open again past its deadline") {
  CHECK(unit::in_fresh_process([] {
          EXPECT(gate::is_open());
          gate::close(now() + kSecond);
          EXPECT(!gate::is_open());
          gate::close(now() + kSecond);  // a second fork
          gate::open();
          EXPECT(!gate::is_open());
          gate::open();
          EXPECT(gate::is_open());
          gate::close(now() - 1);
          EXPECT(gate::is_open());  // nobody is held longer than the deadline
          gate::open();
          gate::close(now() + kSecond);
          gate::after_fork_child(ChildEntryForTests::get());
          EXPECT(gate::is_open());
        }) == 0);
}

TEST_CASE("gate: threads stop at a lock's entry while it is closed, and go on when it opens") {
  CHECK(unit::in_fresh_process([] {
          forkmend_runtime* runtime = make_runtime();
          static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
          std::atomic<long> rounds{0};
          std::atomic<bool> stop{false};
          std::vector<pthread_t> workers;
          for (int i = 0; i < 3; i++) {
            workers.push_back(unit::start(
                [&] {
                  while (!stop) {
                    waiting::mutex_lock(&mutex, unit::here());
                    rounds++;
                    waiting::mutex_unlock(&mutex);
                  }
                },
                runtime));
          }
          for (int round = 0; round < 50; round++) {
            const long before = rounds;
            until([&] { return rounds > before + 10; });
            gate::close(now() + 20 * kSecond);
            until([] { return count_state(ThreadState::parked) == 3; });
            // None of them keeps the lock (one that was blocked in it may be given it, and gives it
            // back), and none moves.
            until([] { return pthread_mutex_trylock(&mutex) == 0; });
            const long stopped = rounds;
            for (int i = 0; i < 20; i++) sched_yield();
            EXPECT(rounds == stopped);
            pthread_mutex_unlock(&mutex);
            gate::open();
          }
          stop = true;
          for (const pthread_t worker : workers) unit::join(worker);
        }) == 0);
}

TEST_CASE("gate: a thread that holds a lock is not stopped") {
  CHECK(unit::in_fresh_process([] {
          forkmend_runtime* runtime = make_runtime();
          static pthread_mutex_t outer = PTHREAD_MUTEX_INITIALIZER,
                                 inner = PTHREAD_MUTEX_INITIALIZER;
          std::atomic<int> step{0};
          const pthread_t worker = unit::start(
              [&] {
                waiting::mutex_lock(&outer, unit::here());
                step = 1;
                until([&] { return step == 2; });
                waiting::mutex_lock(&inner, unit::here());  // passes, though the gate is closed
                waiting::mutex_unlock(&inner);
                step = 3;
                waiting::mutex_unlock(&outer);
                waiting::mutex_lock(&inner, unit::here());  // stops here
                step = 4;
                waiting::mutex_unlock(&inner);
              },
              runtime);
          until([&] { return step == 1; });
          gate::close(now() + 20 * kSecond);
          step = 2;
          until([&] { return count_state(ThreadState::parked) == 1; });
          EXPECT(step == 3);
          gate::open();
          unit::join(worker);
          EXPECT(step == 4);
        }) == 0);
}

TEST_CASE("gate: a wait that is over while it is closed gives its lock back") {
  CHECK(unit::in_fresh_process([] {
          forkmend_runtime* runtime = make_runtime();
          static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
          static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
          static bool signalled = false;
          std::atomic<bool> done{false};
          const pthread_t worker = unit::start(
              [&] {
                waiting::mutex_lock(&mutex, unit::here());
                while (!signalled) waiting::cond_wait(&cond, &mutex, unit::here());
                waiting::mutex_unlock(&mutex);
                done = true;
              },
              runtime);
          until([] { return count_state(ThreadState::parked) == 1; });
          gate::close(now() + 20 * kSecond);
          pthread_mutex_lock(&mutex);
          signalled = true;
          pthread_cond_signal(&cond);
          pthread_mutex_unlock(&mutex);
          // It wakes, stands at the gate, and the mutex is free.
          bool gated = false;
          until([&] {
            threads::for_each_live([&](Thread& t) {
              if (t.registered && t.gated.load()) gated = true;
              return true;
            });
            return gated;
          });
          EXPECT(!done);
          until([] { return pthread_mutex_trylock(&mutex) == 0; });
          pthread_mutex_unlock(&mutex);
          gate::open();
          unit::join(worker);
          EXPECT(done);
        }) == 0);
}

TEST_CASE("gate: a thread at it goes on when the deadline is over, though nobody opens it") {
  CHECK(unit::in_fresh_process([] {
          forkmend_runtime* runtime = make_runtime();
          static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
          std::atomic<bool> go{false}, done{false};
          const pthread_t worker = unit::start(
              [&] {
                until([&] { return go.load(); });
                waiting::mutex_lock(&mutex, unit::here());
                waiting::mutex_unlock(&mutex);
                done = true;
              },
              runtime);
          const Nanoseconds deadline = now() + 100 * kMillisecond;
          gate::close(deadline);
          go = true;
          unit::join(worker);
          EXPECT(done);
          EXPECT(now() >= deadline);
          gate::open();
        }) == 0);
}

TEST_CASE(
    "safepoint: reached at once when all are parked, and by several forking threads at a time") {
  CHECK(unit::in_fresh_process([] {
          forkmend_runtime* runtime = make_runtime();
          static sem_t semaphore;
          sem_init(&semaphore, 0, 0);
          std::vector<pthread_t> workers;
          for (int i = 0; i < 4; i++)
            workers.push_back(
                unit::start([] { waiting::sem_wait(&semaphore, unit::here()); }, runtime));
          until([] { return count_state(ThreadState::parked) == 4; });
          std::vector<pthread_t> forkers;
          std::atomic<int> reached{0};
          for (int i = 0; i < 3; i++) {
            forkers.push_back(unit::start(
                [&] {
                  for (int round = 0; round < 50; round++) {
                    safepoint::reach();
                    EXPECT(safepoint::held_by_this_thread());
                    EXPECT(!gate::is_open());
                    reached++;
                    safepoint::release();
                    EXPECT(!safepoint::held_by_this_thread());
                  }
                },
                runtime));
          }
          for (const pthread_t forker : forkers) unit::join(forker);
          EXPECT(reached == 150);
          EXPECT(gate::is_open());
          for (int i = 0; i < 4; i++) sem_post(&semaphore);
          for (const pthread_t worker : workers) unit::join(worker);
        }) == 0);
}

TEST_CASE("safepoint: a thread that never parks is given less time, fork after fork") {
  CHECK(unit::in_fresh_process([] {
          settings.drain = 64 * kMillisecond;
          settings.dir = "/nonexistent";
          forkmend_runtime* runtime = make_runtime();
          std::atomic<bool> stop{false};
          const pthread_t worker = unit::start(
              [&] {
                while (!stop) {
                }
              },
              runtime);
          const Runtime& r = *reinterpret_cast<Runtime*>(runtime);
          for (int fork = 0; fork < 8; fork++) {
            const Nanoseconds begun = now(), allowed = settings.drain >> (fork < 5 ? fork : 5);
            safepoint::reach();
            EXPECT(now() - begun >= allowed);
            EXPECT(r.misses.load() == fork + 1);
            safepoint::release();
          }
          stop = true;
          unit::join(worker);
          safepoint::reach();  // it has ended: nobody to wait for, and nothing is held against the
                               // runtime
          safepoint::release();
        }) == 0);
}

TEST_CASE("protocol: a child of a busy process has whole data, and what was lost is known") {
  CHECK(unit::in_fresh_process([] {
          forkmend_runtime* runtime = make_runtime();
          static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
          static long credit = 0, debit = 0;
          std::atomic<bool> stop{false};
          std::vector<pthread_t> workers;
          for (int i = 0; i < 3; i++) {
            workers.push_back(unit::start(
                [&] {
                  while (!stop) {
                    waiting::mutex_lock(&mutex, unit::here());
                    credit++;
                    debit--;
                    waiting::mutex_unlock(&mutex);
                  }
                },
                runtime));
          }
          for (int round = 0; round < 20; round++) {
            const pid_t child = unit::fork_through_engine();
            if (child == 0) {
              const bool whole = pthread_mutex_trylock(&mutex) == 0 && credit + debit == 0;
              const bool known = threads::lost.load() == 3 && threads::live().load() == 1 &&
                                 runtime->lost != 0 && threads::generation.load() == 1 &&
                                 forking::origin().parent_pid == sys::getppid();
              _exit(!whole ? 1 : !known ? 2 : 0);
            }
            EXPECT(unit::reap(child) == 0);
            EXPECT(runtime->lost == 0);
          }
          stop = true;
          for (const pthread_t worker : workers) unit::join(worker);
        }) == 0);
}

// --- callbacks
// ------------------------------------------------------------------------------------------------

namespace {

struct Callbacks {
  int before_fork = 0, child = 0, respawn = 0, stop = 0;
  std::atomic<int> failures{0};
};

const forkmend_callbacks kCallbacks = {sizeof kCallbacks,
                                       [](void* c) { static_cast<Callbacks*>(c)->before_fork++; },
                                       [](void* c) { static_cast<Callbacks*>(c)->child++; },
                                       [](void* c) {
                                         auto* calls = static_cast<Callbacks*>(c);
                                         calls->respawn++;
                                         return calls->failures-- > 0 ? EAGAIN : 0;
                                       },
                                       [](void* c) { static_cast<Callbacks*>(c)->stop++; }};

}  // namespace

TEST_CASE("callbacks: before, child, respawn at the first enqueue, stop") {
  CHECK(unit::in_fresh_process([] {
          static Callbacks calls;
          forkmend_runtime* runtime = make_runtime(&kCallbacks, &calls);
          settings.dir = "/nonexistent";
          static sem_t semaphore;
          sem_init(&semaphore, 0, 0);
          unit::start([] { waiting::sem_wait(&semaphore, unit::here()); }, runtime);
          until([] { return count_state(ThreadState::parked) == 1; });
          EXPECT(forkmend::reviving::enqueue(runtime) == 0 && calls.respawn == 0);
          calls.failures = 2;
          const pid_t child = unit::fork_through_engine();
          if (child != 0) {
            EXPECT(unit::reap(child) == 0);
            EXPECT(calls.before_fork == 1 && calls.child == 0 && calls.respawn == 0);
            exiting::begin();
            EXPECT(calls.stop == 1);
            _exit(0);
          }
          EXPECT(calls.before_fork == 1 && calls.child == 1);
          exiting::begin();
          EXPECT(calls.stop == 0);  // its threads are lost: there is nothing to stop
          EXPECT(reviving::enqueue(runtime) == EAGAIN);
          EXPECT(reviving::enqueue(runtime) == EAGAIN);
          EXPECT(runtime->lost != 0);
          EXPECT(reviving::enqueue(runtime) == 0);
          EXPECT(runtime->lost == 0 && calls.respawn == 3);
          EXPECT(reviving::enqueue(runtime) == 0 && calls.respawn == 3);
        }) == 0);
}

TEST_CASE("callbacks: eight threads enqueue at once, respawn is called once") {
  CHECK(unit::in_fresh_process([] {
          static Callbacks calls;
          forkmend_runtime* runtime = make_runtime(&kCallbacks, &calls);
          for (int round = 0; round < 50; round++) {
            __atomic_store_n(&runtime->lost, 1, __ATOMIC_RELEASE);
            calls.respawn = 0;
            std::atomic<bool> go{false};
            std::atomic<int> bad{0};
            std::vector<pthread_t> threads;
            for (int i = 0; i < 8; i++) {
              threads.push_back(unit::start([&] {
                until([&] { return go.load(); });
                bad += reviving::enqueue(runtime) != 0;
                bad += __atomic_load_n(&runtime->lost, __ATOMIC_ACQUIRE) !=
                       0;  // nobody goes on before it is done
              }));
            }
            go = true;
            for (const pthread_t thread : threads) unit::join(thread);
            EXPECT(bad == 0);
            EXPECT(calls.respawn == 1);
          }
        }) == 0);
}

TEST_CASE("callbacks: an older program knows fewer of them") {
  CHECK(unit::in_fresh_process([] {
          static Callbacks calls;
          forkmend_callbacks old = kCallbacks;
          old.size = offsetof(forkmend_callbacks, respawn);
          const Runtime& r = *reinterpret_cast<Runtime*>(make_runtime(&old, &calls));
          EXPECT(r.callbacks.before_fork != nullptr && r.callbacks.child != nullptr);
          EXPECT(r.callbacks.respawn == nullptr && r.callbacks.stop == nullptr);
          // A newer one knows more: what this shim does not know is left.
          forkmend_callbacks newer = kCallbacks;
          newer.size = sizeof newer + 64;
          EXPECT(reinterpret_cast<Runtime*>(make_runtime(&newer, &calls))->callbacks.stop !=
                 nullptr);
        }) == 0);
}

TEST_CASE("runtimes: 256 and no more; what is removed makes room") {
  CHECK(unit::in_fresh_process([] {
          settings.dir = "/nonexistent";
          std::vector<forkmend_runtime*> made;
          while (forkmend_runtime* runtime = make_runtime()) made.push_back(runtime);
          EXPECT(made.size() == 256);
          EXPECT(make_runtime() == nullptr);
          reviving::remove(made[100]);
          EXPECT(make_runtime() == made[100]);
        }) == 0);
}

TEST_CASE("threads: records come and go, and ended ones are not lost") {
  CHECK(unit::in_fresh_process([] {
          forkmend_runtime* runtime = make_runtime();
          for (int round = 0; round < 200; round++)
            unit::join(unit::start([] {}, round % 2 == 0 ? runtime : nullptr));
          EXPECT(threads::highest() <
                 20);  // two hundred threads, one after the other, share a few records
          const pid_t child = unit::fork_through_engine();
          if (child == 0) _exit(threads::lost.load() == 0 && runtime->lost == 0 ? 0 : 1);
          EXPECT(unit::reap(child) == 0);
        }) == 0);
}
