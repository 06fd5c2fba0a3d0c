// Waits of every kind that end at any moment by something else than what they wait for.
//
//   storms signals MILLISECONDS [child]    a handler that posts, forks, and jumps out of the wait
//   storms cancels MILLISECONDS [child]    threads that are cancelled, deferred and at once
//
//   storms first CHILDREN                  children whose handler posts in the middle of their
//   first signal, which is
//                                          when the shim finds out what the lost threads waited on
//
// child: in a child that has lost threads, where waits are watched.
#include <linux/futex.h>
#include <setjmp.h>
#include <sys/select.h>
#include <sys/time.h>

#include <random>
#include <thread>
#include <vector>

#include "tests/programs/ordinary.h"

namespace {

sem_t semaphore;
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, contended = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
int word;
std::atomic<bool> over{false};
sigjmp_buf back;
volatile sig_atomic_t may_jump, handled;

void handle(int) {
  const int error = errno;
  handled = handled + 1;
  if (may_jump && handled % 3 == 0) {
    may_jump = 0;
    siglongjmp(back, 1);
  }
  sem_post(&semaphore);
  if (handled % 5 == 0) syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  if (handled % 50 == 0) {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    ordinary::result_of(child);
  }
  errno = error;
}

timespec soon() {
  timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  time.tv_nsec += 2'000'000;
  if (time.tv_nsec >= 1'000'000'000) {
    time.tv_sec++;
    time.tv_nsec -= 1'000'000'000;
  }
  return time;
}

// Those out of which a handler may jump: nothing is half done in them.
void wait_in(unsigned kind) {
  const timespec millisecond{0, 1'000'000}, later = soon();
  may_jump = 1;
  switch (kind) {
    case 0:
      sem_wait(&semaphore);
      break;
    case 1:
      nanosleep(&millisecond, nullptr);
      break;
    case 2:
      syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
      break;
    case 3:
      poll(nullptr, 0, 2);
      break;
    case 4:
      sem_timedwait(&semaphore, &later);
      break;
    default:
      select(0, nullptr, nullptr, nullptr, nullptr);
  }
  may_jump = 0;
}

void lock_and_wait() {
  const timespec later = soon();
  pthread_mutex_lock(&contended);
  pthread_mutex_unlock(&contended);
  pthread_mutex_lock(&mutex);
  pthread_cond_timedwait(&cond, &mutex, &later);
  pthread_mutex_unlock(&mutex);
}

int storm_of_signals(long until) {
  struct sigaction action {};
  action.sa_handler = handle;
  sigaction(SIGALRM, &action, nullptr);
  sigset_t alarm;
  sigemptyset(&alarm);
  sigaddset(&alarm, SIGALRM);
  pthread_sigmask(SIG_BLOCK, &alarm, nullptr);  // of the thread to come
  std::thread holder([] {
    while (!over) {
      pthread_mutex_lock(&contended);
      usleep(100);
      pthread_mutex_unlock(&contended);
      usleep(50);
    }
  });
  pthread_sigmask(SIG_UNBLOCK, &alarm, nullptr);
  const itimerval often{{0, 300}, {0, 300}}, never{};
  setitimer(ITIMER_REAL, &often, nullptr);
  static std::minstd_rand random(1);
  while (victim::now_ns() < until) {
    if (sigsetjmp(back, 1) != 0) continue;
    const unsigned kind = static_cast<unsigned>(random()) % 8;
    if (kind < 6) {
      wait_in(kind);
    } else {
      lock_and_wait();
    }
  }
  setitimer(ITIMER_REAL, &never, nullptr);
  over = true;
  holder.join();
  return handled > 100 ? ordinary::work() : 60;
}

void unlock(void*) { pthread_mutex_unlock(&mutex); }

void* wait_for_cancellation(void* argument) {
  const long kind = reinterpret_cast<long>(argument);
  if (kind >= 4) pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, nullptr);
  for (;;) {
    if (kind % 4 == 0) sem_wait(&semaphore);
    if (kind % 4 == 1) usleep(200);
    if (kind % 4 == 2) poll(nullptr, 0, 1);
    if (kind != 3) continue;
    pthread_mutex_lock(&mutex);
    pthread_cleanup_push(unlock, nullptr);
    pthread_cond_wait(&cond, &mutex);
    pthread_cleanup_pop(1);
  }
}

int storm_of_cancellations(long until) {
  std::minstd_rand random(1);
  for (int round = 0; victim::now_ns() < until; round++) {
    pthread_t threads[4];
    for (pthread_t& thread : threads) {
      const long kind = static_cast<long>(random() % 7);  // not 7: a condition variable, at once
      if (pthread_create(&thread, nullptr, wait_for_cancellation, reinterpret_cast<void*>(kind)) !=
          0)
        return 61;
    }
    usleep(static_cast<useconds_t>(random() % 3000));
    for (const pthread_t thread : threads) pthread_cancel(thread);
    for (const pthread_t thread : threads) {
      void* result = nullptr;
      if (pthread_join(thread, &result) != 0 || result != PTHREAD_CANCELED) return 62;
    }
    if (round % 20 != 0) continue;
    const pid_t child = fork();
    if (child == 0) _exit(0);
    if (ordinary::result_of(child) != 0) return 63;
  }
  return pthread_mutex_trylock(&mutex) == 0 ? ordinary::work() : 64;
}

void post(int) { sem_post(&semaphore); }

// A child signals a condition variable on which nobody waits; meanwhile a timer goes off.
int first_signal(int microseconds) {
  struct sigaction action {};
  action.sa_handler = post;
  sigaction(SIGALRM, &action, nullptr);
  const itimerval once{{0, 0}, {0, microseconds}};
  setitimer(ITIMER_REAL, &once, nullptr);
  for (int i = 0; i < 20; i++) pthread_cond_signal(&cond);
  return 0;
}

void* wait_for_semaphore(void*) {
  sem_t never;
  sem_init(&never, 0, 0);
  for (;;) sem_wait(&never);
}

int first_signals(int children) {
  constexpr int kThreads = 100;
  for (int i = 0; i < kThreads; i++) {
    pthread_t thread;
    if (pthread_create(&thread, nullptr, wait_for_semaphore, nullptr) != 0) return 70;
  }
  usleep(20'000);
  for (int i = 0; i < children; i++) {
    if (const int code =
            victim::reap(victim::spawn([&] { return first_signal(1 + i % 60); }), 3000))
      return code;
  }
  return 0;
}

}  // namespace

int main(int, char** arguments) {
  sem_init(&semaphore, 0, 0);
  if (victim::is(arguments[1], "first")) _exit(first_signals(atoi(arguments[2])));
  const auto storm = [&] {
    const long until = victim::now_ns() + atol(arguments[2]) * 1'000'000;
    return victim::is(arguments[1], "signals") ? storm_of_signals(until)
                                               : storm_of_cancellations(until);
  };
  if (!victim::is(arguments[3], "child")) _exit(storm());
  for (int i = 0; i < 4; i++) std::thread(victim::sleep_for_ever).detach();
  _exit(victim::reap(victim::spawn(storm)));
}
