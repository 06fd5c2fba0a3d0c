// Lost threads that stood in a wait at the fork, and what the child does with what they wait for.
//
//   forkall cond|broadcast|sem|futex-private|futex-shared|requeue|eventfd|set|join|cancel|holder
//   forkall busy         forks while the workers work; each child hands them something
//   forkall grandchild   the child hands nothing over, its child does
//   forkall timeout|signal|ipc|shared-sem|init|anew|raw
//
// The first group: without the shim each child waits for ever, or finds nobody. The last: nobody
// may go on: the child counts its threads and ends with kStrangers if there is one too many.
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <atomic>

#include "tests/programs/victim.h"

namespace {

using victim::is;

constexpr int kStrangers = 20;
constexpr int kWorkers = 3;

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t work = PTHREAD_COND_INITIALIZER, done_cond = PTHREAD_COND_INITIALIZER;
int jobs, done;
bool stopped;
sem_t jobs_sem;
sem_t* done_sem;
std::atomic<int> word, answer;
int futex_flag;
int event = -1, set = -1;
pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

long futex(std::atomic<int>* at, int operation, int value) {
  return syscall(SYS_futex, at, operation | futex_flag, value, nullptr, nullptr, 0);
}

// --- the threads

thread_local int own_jobs;  // thread-local storage has to be theirs again

void* serves_cond(void*) {
  pthread_mutex_lock(&mutex);
  for (;;) {
    while (jobs == 0 && !stopped) pthread_cond_wait(&work, &mutex);
    if (jobs == 0) break;
    jobs--;
    own_jobs++;
    done++;
    pthread_cond_broadcast(&done_cond);
  }
  pthread_mutex_unlock(&mutex);
  return &jobs;
}

void* waits_with_timeout(void*) {
  pthread_mutex_lock(&mutex);
  for (;;) {
    timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_nsec += 20'000'000;
    if (at.tv_nsec >= 1'000'000'000) at.tv_sec++, at.tv_nsec -= 1'000'000'000;
    pthread_cond_timedwait(&work, &mutex, &at);
    done++;
  }
}

void* serves_sem(void*) {
  for (;;) {
    while (sem_wait(&jobs_sem) != 0) {
    }
    sem_post(done_sem);
  }
}

void* serves_futex(void*) {
  for (;;) {
    while (word.load() == 0) futex(&word, FUTEX_WAIT, 0);
    word = 0;
    answer = 1;
    futex(&answer, FUTEX_WAKE, 1);
  }
}

void* serves_set(void*) {
  for (;;) {
    epoll_event found{};
    if (epoll_wait(set, &found, 1, -1) != 1) continue;
    std::uint64_t count;
    if (read(event, &count, sizeof count) == sizeof count) sem_post(done_sem);
  }
}

void* holds_for_a_while(void*) {
  pthread_mutex_lock(&held);
  sem_post(done_sem);
  const timespec time{0, 300'000'000};
  nanosleep(&time, nullptr);
  pthread_mutex_unlock(&held);
  return nullptr;
}

// --- what the main thread does, in both processes

void wait_for_done(int wanted) {
  pthread_mutex_lock(&mutex);
  while (done < wanted) pthread_cond_wait(&done_cond, &mutex);
  pthread_mutex_unlock(&mutex);
}

int submit(int count, bool all = false) {
  pthread_mutex_lock(&mutex);
  jobs += count;
  const int wanted = done + jobs;
  if (all) pthread_cond_broadcast(&work);
  for (int i = 0; !all && i < count; i++) pthread_cond_signal(&work);
  pthread_mutex_unlock(&mutex);
  wait_for_done(wanted);
  return 0;
}

int ask_sem(int count = 1) {
  for (int i = 0; i < count; i++) sem_post(&jobs_sem);
  for (int i = 0; i < count; i++) {
    while (sem_wait(done_sem) != 0) {
    }
  }
  return 0;
}

int ask_futex(int operation = FUTEX_WAKE) {
  answer = 0;
  word = 1;
  static std::atomic<int> other;
  if (operation == FUTEX_REQUEUE) {
    syscall(SYS_futex, &word, FUTEX_REQUEUE | futex_flag, 1, 1, &other, 0);
  } else {
    futex(&word, operation, 1);
  }
  while (answer.load() == 0) futex(&answer, FUTEX_WAIT, 0);
  return 0;
}

int ask_set() {
  const std::uint64_t one = 1;
  if (write(event, &one, sizeof one) != sizeof one) return 3;
  while (sem_wait(done_sem) != 0) {
  }
  return 0;
}

int is_alone() { return victim::count_tasks() == 1 ? 0 : kStrangers; }

pthread_t threads[kWorkers];

void start(void* (*routine)(void*), int count = 1) {
  for (int i = 0; i < count; i++) {
    if (pthread_create(&threads[i], nullptr, routine, nullptr) != 0)
      victim::set_up_failed("pthread_create");
  }
}

void settle() { usleep(50'000); }  // into their waits: no event tells that

int in_child(int (*body)()) {
  return victim::reap(victim::spawn(body), victim::setting("VICTIM_MS", 3000));
}

int run_cond(const char* mode) {
  start(serves_cond, kWorkers);
  submit(kWorkers);
  settle();
  if (is(mode, "cond")) return in_child([] { return submit(5); });
  if (is(mode, "broadcast")) return in_child([] { return submit(5, true); });
  if (is(mode, "grandchild"))
    return in_child(
        [] { return is_alone() != 0 ? kStrangers : in_child([] { return submit(5); }); });
  if (is(mode, "busy")) {
    for (int i = 0; i < 50; i++) {
      pthread_mutex_lock(&mutex);
      jobs += 200;
      pthread_cond_broadcast(&work);
      pthread_mutex_unlock(&mutex);
      // What the workers are in the middle of may be lost, as without the shim: a child that cannot
      // take the lock ends, one that can must find that who stood there goes on.
      const int code = victim::reap(victim::spawn([] {
        timespec at;
        clock_gettime(CLOCK_REALTIME, &at);
        at.tv_sec++;
        if (pthread_mutex_timedlock(&mutex, &at) != 0) return 0;
        pthread_cond_broadcast(&work);
        pthread_mutex_unlock(&mutex);
        usleep(1000);
        return 0;
      }));
      if (code != 0) return code;
      wait_for_done(0);
    }
    return 0;
  }
  if (is(mode, "join")) {
    return in_child([] {
      pthread_mutex_lock(&mutex);
      stopped = true;
      pthread_cond_broadcast(&work);
      pthread_mutex_unlock(&mutex);
      for (const pthread_t thread : threads) {
        void* result = nullptr;
        if (pthread_join(thread, &result) != 0) return 4;
        if (result != &jobs) return 5;  // it ended by itself
      }
      return is_alone();
    });
  }
  if (is(mode, "cancel")) {
    return in_child([] {
      void* result = nullptr;
      if (pthread_cancel(threads[0]) != 0) return 6;
      if (pthread_join(threads[0], &result) != 0) return 7;
      return result == PTHREAD_CANCELED ? is_alone() : 8;
    });
  }
  if (is(mode, "init")) {
    // A library that makes its objects and its threads anew.
    return in_child([] {
      pthread_mutex_init(&mutex, nullptr);
      pthread_cond_init(&work, nullptr);
      start(serves_cond, kWorkers);
      submit(6);
      return victim::count_tasks() == 1 + kWorkers ? 0 : kStrangers;
    });
  }
  if (is(mode, "anew")) {
    return in_child([] {
      start(serves_cond, kWorkers);
      submit(6, true);
      return victim::count_tasks() == 1 + kWorkers ? 0 : kStrangers;
    });
  }
  if (is(mode, "raw")) {
    // A child that no handler announced: nobody stood still for it.
    const pid_t pid = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    if (pid == 0) {
      pthread_cond_broadcast(&work);
      _exit(is_alone());
    }
    return victim::reap(pid);
  }
  // signal: a child that waits for one.
  return in_child([] {
    sigset_t set_of_signals;
    sigemptyset(&set_of_signals);
    sigaddset(&set_of_signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &set_of_signals, nullptr);
    const timespec time{0, 300'000'000};
    sigtimedwait(&set_of_signals, nullptr, &time);
    return is_alone();
  });
}

int run_set(const char* mode) {
  set = epoll_create1(EPOLL_CLOEXEC);
  event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event wanted{};
  wanted.events = EPOLLIN;
  if (epoll_ctl(set, EPOLL_CTL_ADD, event, &wanted) != 0) victim::set_up_failed("epoll_ctl");
  start(serves_set);
  if (is(mode, "ipc")) {
    // The program's own eventfd, by which a child tells its parent: the parent's thread hears of
    // it.
    settle();
    const int code = in_child([] {
      const std::uint64_t one = 1;
      return write(event, &one, sizeof one) == sizeof one ? is_alone() : 3;
    });
    while (code == 0 && sem_wait(done_sem) != 0) {
    }
    return code;
  }
  ask_set();
  settle();
  if (is(mode, "eventfd")) return in_child([] { return ask_set() != 0 ? 3 : ask_set(); });
  return in_child([] {  // set: another descriptor is added to it
    event = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    epoll_event more{};
    more.events = EPOLLIN;
    if (epoll_ctl(set, EPOLL_CTL_ADD, event, &more) != 0) return 9;
    while (sem_wait(done_sem) != 0) {
    }
    return 0;
  });
}

}  // namespace

int main(int, char** arguments) {
  const char* mode = arguments[1];
  // Shared only where the test is about that.
  static sem_t own_done;
  done_sem = &own_done;
  if (is(mode, "shared-sem"))
    done_sem = static_cast<sem_t*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  sem_init(done_sem, is(mode, "shared-sem") ? 1 : 0, 0);
  sem_init(&jobs_sem, 0, 0);
  futex_flag = is(mode, "futex-private") ? FUTEX_PRIVATE_FLAG : 0;

  if (is(mode, "sem")) {
    start(serves_sem, kWorkers);
    ask_sem();
    settle();
    _exit(in_child([] { return ask_sem(4); }));
  }
  if (is(mode, "futex-private") || is(mode, "futex-shared") || is(mode, "requeue")) {
    start(serves_futex);
    ask_futex();
    settle();
    static int operation;
    operation = is(mode, "requeue") ? FUTEX_REQUEUE : FUTEX_WAKE;
    _exit(in_child([] { return ask_futex(operation); }));
  }
  if (is(mode, "eventfd") || is(mode, "set") || is(mode, "ipc")) _exit(run_set(mode));
  if (is(mode, "holder")) {
    start(holds_for_a_while);
    while (sem_wait(done_sem) != 0) {
    }
    settle();
    _exit(in_child([] { return pthread_mutex_lock(&held) == 0 ? 0 : 10; }));
  }
  if (is(mode, "timeout")) {
    start(waits_with_timeout);
    settle();
    _exit(in_child([] {
      const timespec time{0, 300'000'000};
      nanosleep(&time, nullptr);
      return is_alone();
    }));
  }
  if (is(mode, "shared-sem")) {
    // The parent's thread waits; the child posts, and means that one.
    pthread_t waiter;
    static std::atomic<bool> got{false};
    pthread_create(
        &waiter, nullptr,
        [](void*) -> void* {
          while (sem_wait(done_sem) != 0) {
          }
          got = true;
          return nullptr;
        },
        nullptr);
    settle();
    const int code = in_child([] {
      sem_post(done_sem);
      return is_alone();
    });
    pthread_join(waiter, nullptr);
    _exit(code != 0 ? code : got.load() ? 0 : 11);
  }
  _exit(run_cond(mode));
}
