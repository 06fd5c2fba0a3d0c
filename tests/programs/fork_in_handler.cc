// Forks in a signal handler, at random moments of the interrupted code. The child returns from the
// handler, finishes what was interrupted and goes on a little; so does the parent.
//
//   fork_in_handler locks [N]     the interrupted thread locks, signals, posts; another one creates
//                                 threads and allocates all the time
//   fork_in_handler create [N]    the interrupted thread creates and joins threads
//   fork_in_handler bare [N]      as `locks`, but the handler calls _Fork, which POSIX lets it
#include <sys/time.h>

#include <atomic>
#include <thread>

#include "tests/programs/victim.h"

namespace {

constexpr int kMostChildren = 100'000;
pid_t children[kMostChildren];
std::atomic<int> forked{0};
bool in_child = false;
bool bare = false;

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
sem_t semaphore;
long inside = 0;

void set_timer(long us) {
  const itimerval once{{0, 0}, {0, us}};
  setitimer(ITIMER_REAL, &once, nullptr);
}

void on_alarm(int) {
  if (in_child) return;
  const int error = errno;
  // The timer's signal reaches any thread. A short-lived one that forked would take its child
  // along: PR_SET_PDEATHSIG means the thread, not the process.
  if (syscall(SYS_gettid) != getpid()) {
    syscall(SYS_tgkill, getpid(), getpid(), SIGALRM);
    errno = error;
    return;
  }
  const pid_t pid = bare ? victim::bare_fork() : fork();
  if (pid == 0) {
    in_child = true;
    victim::begin_child();
  } else if (pid > 0) {
    children[forked++] = pid;
    set_timer(100 + forked.load() * 37 % 1500);
  }
  errno = error;
}

// 0, or the step that failed.
int use_locks() {
  if (pthread_mutex_lock(&mutex) != 0) return 1;
  if (++inside != 1) return 2;
  pthread_cond_signal(&cond);
  --inside;
  if (pthread_mutex_unlock(&mutex) != 0) return 3;
  if (pthread_rwlock_rdlock(&rwlock) != 0 || pthread_rwlock_unlock(&rwlock) != 0) return 4;
  if (sem_post(&semaphore) != 0) return 5;
  while (sem_wait(&semaphore) != 0) {
  }
  if (pthread_mutex_trylock(&mutex) != 0) return 6;
  return pthread_mutex_unlock(&mutex) == 0 ? 0 : 7;
}

int create_and_join() {
  pthread_t thread;
  if (pthread_create(
          &thread, nullptr, [](void*) -> void* { return &mutex; }, nullptr) != 0)
    return 8;
  void* result = nullptr;
  if (pthread_join(thread, &result) != 0) return 9;
  // In a child that was made meanwhile the thread is a lost one: it has no result.
  return in_child || result == &mutex ? 0 : 10;
}

}  // namespace

int main(int, char** arguments) {
  const bool create = victim::is(arguments[1], "create");
  bare = victim::is(arguments[1], "bare");
  const int wanted = arguments[2] != nullptr ? atoi(arguments[2]) : 300;
  sem_init(&semaphore, 0, 0);
  struct sigaction action {};
  action.sa_handler = on_alarm;
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, nullptr);

  sigset_t alarm;
  sigemptyset(&alarm);
  sigaddset(&alarm, SIGALRM);
  pthread_sigmask(SIG_BLOCK, &alarm, nullptr);
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop && !create) {
      std::thread([] { free(malloc(100'000)); }).join();
      free(malloc(300));
    }
  });
  pthread_sigmask(SIG_UNBLOCK, &alarm, nullptr);

  set_timer(100);
  int reaped = 0;
  while (forked < wanted) {
    const int code = create ? create_and_join() : use_locks();
    if (code != 0) _exit(code);
    if (in_child) {
      for (int i = 0; i < 20; i++) {
        if (const int late = use_locks()) _exit(late + 20);
      }
      _exit(0);
    }
    // Not here: a child of an interrupted reap() would wait for its siblings.
    pthread_sigmask(SIG_BLOCK, &alarm, nullptr);
    while (!in_child && reaped < forked) {
      if (const int bad = victim::reap(children[reaped++])) _exit(bad);
    }
    pthread_sigmask(SIG_UNBLOCK, &alarm, nullptr);
  }
  set_timer(0);
  stop = true;
  busy.join();
  _exit(in_child ? 0 : victim::count_tasks() == 1 ? 0 : 11);
}
