// shim/waiting: handed-over work, and the proof of a lockup.
#include <doctest/doctest.h>

#include <vector>

#include "shim/base/settings.h"
#include "shim/locks/layout.h"
#include "shim/waiting/handover.h"
#include "shim/waiting/proof.h"
#include "shim/waiting/restart.h"
#include "tests/unit/engine.h"

using namespace forkmend;

namespace {

[[maybe_unused]] Thread* make_thread(const char* name) {
  Thread* t = threads::allocate();
  t->tid.store(900'000 + static_cast<int>(t->serial()));
  copy_text(t->name, name);
  t->state.store(ThreadState::parked);
  return t;
}

void waits_on(Thread& t, WaitCall call, const void* object) {
  t.wait.object = object;
  t.wait.timeout = Timeout::none;
  t.wait.call.store(call);
}

// As if this process had just been forked: all but the calling thread are lost.
void lose_the_others() {
  const ChildEntry& entry = ChildEntryForTests::get();
  threads::after_fork_child(entry, sys::gettid());
  handover::after_fork_child(entry);
}

[[maybe_unused]] Verdict judged(Nanoseconds waited) {
  Judgement judgement;
  judge(*threads::self(), waited, judgement);
  return judgement.verdict;
}

}  // namespace

TEST_CASE("handover: the objects of lost threads are found, others are not") {
  CHECK(unit::in_fresh_process([] {
          static char objects[3000];
          std::vector<Thread*> made;
          for (char& object : objects) {
            Thread* t = make_thread("waiter");
            waits_on(*t, WaitCall::futex, &object);
            made.push_back(t);
          }
          Thread* signaller = make_thread("signaller");
          static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
          signaller->signalled[2] = &cond;
          EXPECT(handover::lost_signaller(&cond) == nullptr);  // alive
          lose_the_others();
          EXPECT(handover::lost_signaller(&cond) == signaller);
          EXPECT(handover::lost_signaller(&objects[0]) == nullptr);
          EXPECT(handover::first() == nullptr);
          // The table holds 2,048 of them; what does not fit is no evidence, never another's.
          int found = 0;
          for (int i = 0; i < 3000; i++) {
            const Thread* t = handover::lost_waiter(&objects[i]);
            if (t == nullptr) continue;
            EXPECT(t == made[static_cast<std::size_t>(i)]);
            found++;
          }
          EXPECT(found == 2048);
          EXPECT(handover::lost_waiter(&cond) == nullptr);
          handover::note(&objects[5], unit::here(), false);
          EXPECT(handover::first() != nullptr && handover::first()->object == &objects[5]);
          handover::note(&objects[6], unit::here(), false);
          EXPECT(handover::first()->object == &objects[5]);  // the first of it
          lose_the_others();
          EXPECT(handover::first() == nullptr);  // a child of the child begins without
          EXPECT(handover::lost_waiter(&objects[0]) == made[0]);
        }) == 0);
}

TEST_CASE("handover: each thread's last four signals are kept") {
  CHECK(unit::in_fresh_process([] {
          static char objects[6];
          for (char& object : objects) handover::note(&object, unit::here(), false);
          const Thread& t = *threads::self();
          for (int i = 2; i < 6; i++) {
            bool kept = false;
            for (const void* object : t.signalled) kept = kept || object == &objects[i];
            EXPECT(kept);
          }
        }) == 0);
}

// ThreadSanitizer has a thread of its own in every process: the proof finds one that it does not
// know, and is silent, as it should be.
#if !defined(__SANITIZE_THREAD__)

TEST_CASE("proof: a cond whose signaller is lost is certain, but not if something could end it") {
  CHECK(unit::in_fresh_process([] {
          layout::probe();
          static pthread_cond_t cond = PTHREAD_COND_INITIALIZER, other = PTHREAD_COND_INITIALIZER;
          Thread* signaller = make_thread("signaller");
          signaller->signalled[0] = &cond;
          Thread* live = nullptr;
          lose_the_others();
          waits_on(*threads::self(), WaitCall::cond_wait, &cond);
          EXPECT(judged(kSecond) == Verdict::certain);
          Judgement judgement;
          judge(*threads::self(), kSecond, judgement);
          EXPECT(judgement.culprit == signaller);
          EXPECT(std::string_view(judgement.cause) == "lost-signaller");
          EXPECT(judgement.count >= 2);

          // Another condition variable: nothing ties it to a lost thread.
          waits_on(*threads::self(), WaitCall::cond_wait, &other);
          EXPECT(judged(kSecond) == Verdict::none && judged(3600 * kSecond) == Verdict::none);

          waits_on(*threads::self(), WaitCall::cond_wait, &cond);
          // A live thread that runs.
          live = make_thread("live");
          live->state.store(ThreadState::running);
          EXPECT(judged(kSecond) == Verdict::none);
          threads::release(live);
          EXPECT(judged(kSecond) == Verdict::certain);

          // A handler; ignored signals and those of faults end nothing.
          signal(SIGUSR1, SIG_IGN);
          signal(SIGSEGV, [](int) {});
          EXPECT(judged(kSecond) == Verdict::certain);
          signal(SIGUSR1, [](int) {});
          EXPECT(judged(kSecond) == Verdict::none);
          signal(SIGUSR1, SIG_DFL);
          EXPECT(judged(kSecond) == Verdict::certain);

          // Another process.
          pthread_condattr_t shared;
          pthread_condattr_init(&shared);
          pthread_condattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
          pthread_cond_init(&cond, &shared);
          EXPECT(judged(kSecond) == Verdict::none);
        }) == 0);
}

TEST_CASE("proof: a semaphore a lost thread once signalled is not tied to it") {
  // Semaphores are recycled at the same address: only the waiter ties them.
  CHECK(unit::in_fresh_process([] {
          layout::probe();
          static sem_t semaphore;
          sem_init(&semaphore, 0, 0);
          Thread* poster = make_thread("poster");
          poster->signalled[0] = &semaphore;
          lose_the_others();
          waits_on(*threads::self(), WaitCall::sem_wait, &semaphore);
          EXPECT(judged(3600 * kSecond) == Verdict::none);
        }) == 0);
}

TEST_CASE("proof: likely only past the threshold, and only after work was handed over") {
  CHECK(unit::in_fresh_process([] {
          layout::probe();
          static int parked_on, waited_for;
          Thread* worker = make_thread("worker");
          waits_on(*worker, WaitCall::futex, &parked_on);
          lose_the_others();
          waits_on(*threads::self(), WaitCall::futex, &waited_for);
          EXPECT(judged(3600 * kSecond) == Verdict::none);
          handover::note(&parked_on, unit::here(), false);
          EXPECT(judged(settings.threshold - 1) == Verdict::none);
          EXPECT(judged(settings.threshold) == Verdict::likely);
          Judgement judgement;
          judge(*threads::self(), settings.threshold, judgement);
          EXPECT(judgement.culprit == worker);
          // A wait with a time-out of another live thread means that it will look again.
          Thread* live = make_thread("live");
          waits_on(*live, WaitCall::futex, &waited_for);
          live->wait.timeout = Timeout::given;
          EXPECT(judged(settings.threshold) == Verdict::none);
        }) == 0);
}

#endif

TEST_CASE("restart: only where every handler has SA_RESTART") {
  CHECK(unit::in_fresh_process([] {
          const auto handle = [](int signal, int flags) {
            struct sigaction action {};
            action.sa_handler = [](int) {};
            action.sa_flags = flags;
            sigaction(signal, &action, nullptr);
          };
          for (int signal = 1; signal < 32; signal++) ::signal(signal, SIG_DFL);
          EXPECT(restart::would_restart());
          handle(SIGUSR1, SA_RESTART);
          EXPECT(restart::would_restart());
          handle(SIGUSR2, 0);
          EXPECT(!restart::would_restart());
          const auto never = [](const void*) { return false; };
          const auto always = [](const void*) { return true; };
          EXPECT(restart::any_handler(0, never));
          EXPECT(!restart::any_handler(0, always));
          EXPECT(restart::any_handler(1ul << (SIGUSR1 - 1), never));
        }) == 0);
}
