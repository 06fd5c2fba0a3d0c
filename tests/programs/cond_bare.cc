// Children that wait on condition variables bare, with no predicate, as programs do that trust
// libc: what the shim looks at meanwhile may neither end a wait nor cost it a signal. The parent
// has an idle thread, which the child has lost; FORKMEND_GRACE_MS=1 makes the looks come often.
//
//   cond_bare idle [c11]      nobody signals for two seconds: the wait must not end
//   cond_bare signals [c11]   SIGNALS (2,000) for each of PAIRS (8) waiters, at any moment of a
//                             wait, the mutex held or not: all are received, none besides
//   cond_bare broadcast       the same for 4 waiters on one condition variable
//   cond_bare cancel          ROUNDS (300) waits are cancelled while a signal is on its way: the
//                             cleanup handler has the mutex, the signal goes to the other waiter
//   cond_bare timed           timed waits beside a bare one: they end by time, not before
#include <threads.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/programs/victim.h"

namespace {

using victim::is;

constexpr long kPatienceMs = 10'000;

bool c11;
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

void wait_bare(pthread_cond_t& c, pthread_mutex_t& m) {
  if (c11) {
    cnd_wait(reinterpret_cast<cnd_t*>(&c), reinterpret_cast<mtx_t*>(&m));
  } else {
    pthread_cond_wait(&c, &m);
  }
}

void signal_one(pthread_cond_t& c) {
  if (c11) {
    cnd_signal(reinterpret_cast<cnd_t*>(&c));
  } else {
    pthread_cond_signal(&c);
  }
}

// Between two looks, on one, or beside it: anything up to 4 ms.
void pause_somewhere(unsigned& seed) {
  const timespec pause{0, rand_r(&seed) % 4'000'000};
  nanosleep(&pause, nullptr);
}

timespec in_ms(long ms) {
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  const long ns = t.tv_nsec + ms * 1'000'000;
  return {t.tv_sec + ns / 1'000'000'000, ns % 1'000'000'000};
}

// --- nobody signals
// --------------------------------------------------------------------------------

int idle() {
  std::thread([] {
    const timespec pause{2, 0};
    nanosleep(&pause, nullptr);
    _exit(0);
  }).detach();
  pthread_mutex_lock(&mutex);
  wait_bare(cond, mutex);
  return 1;
}

// --- one signaller and one waiter, many times
// ---------------------------------------------------------

struct Pair {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  sem_t waits, received;
  std::atomic<long> sent{0};
  long spurious = 0, lost = 0;
};

void receive(Pair& p, long signals) {
  pthread_mutex_lock(&p.mutex);
  for (long i = 1; i <= signals; i++) {
    sem_post(&p.waits);
    wait_bare(p.cond, p.mutex);
    while (p.sent.load() < i) {
      p.spurious++;
      wait_bare(p.cond, p.mutex);
    }
    sem_post(&p.received);
  }
  pthread_mutex_unlock(&p.mutex);
}

// The mutex is free once the other waits: what is signalled then must arrive.
void send(Pair& p, long signals, unsigned seed) {
  for (long i = 1; i <= signals; i++) {
    while (sem_wait(&p.waits) != 0) {
    }
    pause_somewhere(seed);
    pthread_mutex_lock(&p.mutex);
    p.sent.store(i);
    const bool held = i % 2 == 0;
    if (held) signal_one(p.cond);
    pthread_mutex_unlock(&p.mutex);
    if (!held) signal_one(p.cond);
    const timespec late = in_ms(kPatienceMs);
    while (sem_timedwait(&p.received, &late) != 0) {
      if (errno == EINTR) continue;
      p.lost++;
      return;
    }
  }
}

int signals() {
  const long count = victim::setting("SIGNALS", 2000);
  std::vector<Pair> pairs(static_cast<size_t>(victim::setting("PAIRS", 8)));
  std::vector<std::thread> senders;
  for (Pair& p : pairs) {
    sem_init(&p.waits, 0, 0);
    sem_init(&p.received, 0, 0);
    std::thread(receive, std::ref(p), count).detach();
    senders.emplace_back(send, std::ref(p), count, static_cast<unsigned>(senders.size() + 1));
  }
  for (std::thread& sender : senders) sender.join();
  long spurious = 0, lost = 0;
  for (const Pair& p : pairs) {
    spurious += p.spurious;
    lost += p.lost;
  }
  victim::step("spurious", spurious);
  victim::step("lost", lost);
  return lost != 0 ? 3 : spurious != 0 ? 2 : 0;
}

// --- several waiters on one
// -------------------------------------------------------------------------

int broadcast() {
  constexpr int kWaiters = 4;
  const long count = victim::setting("SIGNALS", 1000);
  static std::atomic<long> sent{0}, spurious{0};
  static sem_t waits, received;
  sem_init(&waits, 0, 0);
  sem_init(&received, 0, 0);
  for (int waiter = 0; waiter < kWaiters; waiter++) {
    std::thread([count] {
      pthread_mutex_lock(&mutex);
      for (long i = 1; i <= count; i++) {
        sem_post(&waits);
        wait_bare(cond, mutex);
        while (sent.load() < i) {
          spurious++;
          wait_bare(cond, mutex);
        }
        // On to the next wait at once: the broadcast that is under way is not for that one.
        sem_post(&received);
      }
      pthread_mutex_unlock(&mutex);
    }).detach();
  }
  unsigned seed = 1;
  for (long i = 1; i <= count; i++) {
    for (int waiter = 0; waiter < kWaiters; waiter++) {
      while (sem_wait(&waits) != 0) {
      }
    }
    pause_somewhere(seed);
    pthread_mutex_lock(&mutex);
    sent.store(i);
    pthread_mutex_unlock(&mutex);
    pthread_cond_broadcast(&cond);
    for (int waiter = 0; waiter < kWaiters; waiter++) {
      const timespec late = in_ms(kPatienceMs);
      while (sem_timedwait(&received, &late) != 0) {
        if (errno != EINTR) return 3;
      }
    }
  }
  victim::step("spurious", spurious.load());
  return spurious.load() != 0 ? 2 : 0;
}

// --- cancellation
// ------------------------------------------------------------------------------------

std::atomic<int> clean_ups{0}, bad_clean_ups{0};

void clean_up(void*) {
  clean_ups++;
  // The calling thread holds it: an errorcheck mutex says so.
  if (pthread_mutex_unlock(&mutex) != 0) bad_clean_ups++;
}

void* wait_to_be_cancelled(void* waits) {
  pthread_mutex_lock(&mutex);
  pthread_cleanup_push(clean_up, nullptr);
  sem_post(static_cast<sem_t*>(waits));
  wait_bare(cond, mutex);
  pthread_cleanup_pop(1);
  return nullptr;
}

int cancel() {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_init(&mutex, &attributes);
  const long rounds = victim::setting("ROUNDS", 300);
  unsigned seed = 1;
  long cancelled = 0;
  sem_t waits;
  sem_init(&waits, 0, 0);
  for (long i = 0; i < rounds; i++) {
    pthread_t first, second;
    pthread_create(&first, nullptr, wait_to_be_cancelled, &waits);
    while (sem_wait(&waits) != 0) {
    }
    pthread_create(&second, nullptr, wait_to_be_cancelled, &waits);
    while (sem_wait(&waits) != 0) {
    }
    pause_somewhere(seed);
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    // One signal and one cancellation for two that wait, in either order.
    if (i % 2 == 0) pthread_cond_signal(&cond);
    pthread_cancel(first);
    if (i % 2 != 0) pthread_cond_signal(&cond);
    void* result;
    pthread_join(first, &result);
    if (result == PTHREAD_CANCELED) {
      cancelled++;  // then the signal is the second one's
    } else {
      pthread_cancel(second);
    }
    const timespec late = in_ms(kPatienceMs);
    if (pthread_timedjoin_np(second, &result, &late) != 0) return 3;
  }
  victim::step("cancelled", cancelled);
  if (bad_clean_ups.load() != 0 || clean_ups.load() != 2 * rounds) return 4;
  return cancelled != 0 ? 0 : 5;
}

// --- beside timed waits
// --------------------------------------------------------------------------------

int timed() {
  std::thread([] {
    pthread_mutex_lock(&mutex);
    wait_bare(cond, mutex);
    _exit(6);
  }).detach();
  for (int i = 0; i < 50; i++) {
    const timespec end = in_ms(20);
    pthread_mutex_lock(&mutex);
    const int error = pthread_cond_timedwait(&cond, &mutex, &end);
    const timespec now = in_ms(0);
    pthread_mutex_unlock(&mutex);
    if (error != ETIMEDOUT) return 7;
    if (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec))
      return 8;
  }
  return 0;
}

}  // namespace

int main(int, char** arguments) {
  const char* mode = arguments[1];
  c11 = arguments[2] != nullptr && is(arguments[2], "c11");
  std::thread(victim::sleep_for_ever).detach();
  const pid_t child = victim::spawn([&] {
    if (is(mode, "idle")) return idle();
    if (is(mode, "signals")) return signals();
    if (is(mode, "broadcast")) return broadcast();
    return is(mode, "cancel") ? cancel() : timed();
  });
  _exit(victim::reap(child, 120'000));
}
