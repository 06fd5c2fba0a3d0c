// Children that wait long and are well: whatever they wait for comes late. The parent has live
// threads which the child has lost, idle in every kind of wait. No report may be written, and each
// wait ends as it does without the shim.
//
//   healthy_waits MODE [pool]      LATE_MS=4000: when it comes; `pool`: the parent has a registered
//   one; STOP_MS: before that, the child is stopped (SIGSTOP) for so long and goes on
//
// Ended from outside: sem-handler sem-alarm sigwait sigsuspend pipe accept epoll poll select
//   shared-sem shared-cond shared-robust wait-child
// by a live thread of the child: cond mutex rwlock join futex barrier sem
// interrupted: sem-restart sem-eintr futex-restart futex-eintr (a handler that does nothing, at
// half of
//   LATE_MS: with SA_RESTART the wait goes on, without it returns EINTR)
#include <linux/futex.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "tests/programs/pool.h"

namespace {

using victim::is;

const long late_ms = victim::setting("LATE_MS", 4000);

struct Shared {
  sem_t semaphore;
  pthread_mutex_t mutex, robust;
  pthread_cond_t cond;
  bool arrived;
};

Shared* shared;
int pipe_ends[2], listener;
sockaddr_in address{};
sem_t semaphore;
int handled;

void pause_ms(long ms) {
  timespec left{ms / 1000, ms % 1000 * 1'000'000};
  while (nanosleep(&left, &left) != 0) {
  }
}

// --- the parent's threads
// ------------------------------------------------------------------------------

std::mutex idle_mutex;
std::condition_variable idle_cond;
int idle_word;

void start_idle_threads() {
  std::thread([] {
    std::unique_lock lock(idle_mutex);
    for (;;) idle_cond.wait(lock);
  }).detach();
  std::thread([] {
    for (;;) syscall(SYS_futex, &idle_word, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
  }).detach();
  std::thread(victim::sleep_for_ever).detach();
  std::thread([] {
    pollfd never{pipe_ends[0], 0, 0};
    for (;;) poll(&never, 1, -1);
  }).detach();
}

// --- what ends the wait: in the parent
// --------------------------------------------------------------------

void set_up() {
  shared = static_cast<Shared*>(
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  sem_init(&shared->semaphore, 1, 0);
  pthread_mutexattr_t mutexes;
  pthread_mutexattr_init(&mutexes);
  pthread_mutexattr_setpshared(&mutexes, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(&shared->mutex, &mutexes);
  pthread_mutexattr_setrobust(&mutexes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&shared->robust, &mutexes);
  pthread_condattr_t conds;
  pthread_condattr_init(&conds);
  pthread_condattr_setpshared(&conds, PTHREAD_PROCESS_SHARED);
  pthread_cond_init(&shared->cond, &conds);
  if (pipe(pipe_ends) != 0) victim::set_up_failed("pipe");
  listener = socket(AF_INET, SOCK_STREAM, 0);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener, 1) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    victim::set_up_failed("listen");
  sem_init(&semaphore, 0, 0);
}

void end_wait(const char* mode, pid_t child) {
  if (is(mode, "pipe") || is(mode, "epoll") || is(mode, "poll") || is(mode, "select")) {
    if (write(pipe_ends[1], "x", 1) != 1) victim::set_up_failed("write");
  } else if (is(mode, "accept")) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
    close(fd);
  } else if (is(mode, "shared-sem")) {
    sem_post(&shared->semaphore);
  } else if (is(mode, "shared-cond")) {
    pthread_mutex_lock(&shared->mutex);
    shared->arrived = true;
    pthread_cond_signal(&shared->cond);
    pthread_mutex_unlock(&shared->mutex);
  } else if (is(mode, "shared-robust")) {
    pthread_mutex_unlock(&shared->robust);
  } else {
    kill(child, SIGTERM);
  }
}

// --- what waits: in the child
// -----------------------------------------------------------------------------

void handle(int signal, int flags, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigaction(signal, &action, nullptr);
}

void post(int) { sem_post(&semaphore); }
void count(int) { handled++; }

void alarm_ms(long ms) {
  const itimerval once{{0, 0}, {ms / 1000, ms % 1000 * 1000}};
  setitimer(ITIMER_REAL, &once, nullptr);
}

int wait_for_sem() {
  while (sem_wait(&semaphore) != 0) {
    if (errno != EINTR) return 1;
  }
  return 0;
}

int wait_for_sigwait() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  int signal = 0;
  return sigwait(&set, &signal) == 0 && signal == SIGTERM ? 0 : 2;
}

int wait_for_sigsuspend() {
  handle(SIGTERM, SA_RESTART, count);
  sigset_t none;
  sigemptyset(&none);
  return sigsuspend(&none) == -1 && errno == EINTR && handled == 1 ? 0 : 3;
}

int wait_for_descriptor(const char* mode) {
  char byte;
  if (is(mode, "pipe")) return read(pipe_ends[0], &byte, 1) == 1 ? 0 : 4;
  if (is(mode, "accept")) return accept(listener, nullptr, nullptr) >= 0 ? 0 : 5;
  if (is(mode, "poll")) {
    pollfd fd{pipe_ends[0], POLLIN, 0};
    return poll(&fd, 1, -1) == 1 ? 0 : 6;
  }
  if (is(mode, "select")) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pipe_ends[0], &set);
    return select(pipe_ends[0] + 1, &set, nullptr, nullptr, nullptr) == 1 ? 0 : 7;
  }
  const int epoll = epoll_create1(0);
  epoll_event event{};
  event.events = EPOLLIN;
  epoll_ctl(epoll, EPOLL_CTL_ADD, pipe_ends[0], &event);
  return epoll_wait(epoll, &event, 1, -1) == 1 ? 0 : 8;
}

int wait_for_another_process(const char* mode) {
  if (is(mode, "shared-sem")) return sem_wait(&shared->semaphore) == 0 ? 0 : 9;
  if (is(mode, "shared-robust")) return pthread_mutex_lock(&shared->robust) == 0 ? 0 : 10;
  if (is(mode, "wait-child")) {
    const pid_t grandchild = fork();
    if (grandchild == 0) {
      pause_ms(late_ms);
      _exit(3);
    }
    int status;
    return waitpid(grandchild, &status, 0) == grandchild && WEXITSTATUS(status) == 3 ? 0 : 11;
  }
  pthread_mutex_lock(&shared->mutex);
  while (!shared->arrived) pthread_cond_wait(&shared->cond, &shared->mutex);
  return pthread_mutex_unlock(&shared->mutex);
}

// A thread that the child has made itself lets the main thread wait.
int wait_for_sibling(const char* mode) {
  std::mutex mutex;
  std::condition_variable cond;
  pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, 2);
  int word = 0;
  bool arrived = false;
  victim::Event ready;
  std::thread sibling([&] {
    if (is(mode, "mutex")) mutex.lock();
    if (is(mode, "rwlock")) pthread_rwlock_wrlock(&rwlock);
    ready.raise();
    pause_ms(late_ms);
    if (is(mode, "mutex")) return mutex.unlock();
    if (is(mode, "sem")) return static_cast<void>(sem_post(&semaphore));
    if (is(mode, "barrier")) return static_cast<void>(pthread_barrier_wait(&barrier));
    if (is(mode, "rwlock")) return static_cast<void>(pthread_rwlock_unlock(&rwlock));
    const std::lock_guard guard(mutex);
    __atomic_store_n(&word, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    arrived = true;
    cond.notify_one();
  });
  ready.wait();
  if (is(mode, "cond")) {
    std::unique_lock lock(mutex);
    cond.wait(lock, [&] { return arrived; });
  } else if (is(mode, "mutex")) {
    mutex.lock();
    mutex.unlock();
  } else if (is(mode, "rwlock")) {
    pthread_rwlock_rdlock(&rwlock);
    pthread_rwlock_unlock(&rwlock);
  } else if (is(mode, "sem")) {
    if (const int code = wait_for_sem()) return code;
  } else if (is(mode, "barrier")) {
    pthread_barrier_wait(&barrier);
  } else if (is(mode, "futex")) {
    while (__atomic_load_n(&word, __ATOMIC_ACQUIRE) == 0)
      syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
  }
  sibling.join();
  return 0;
}

// One signal whose handler does nothing, at half of the time; the other, at the end, posts.
int interrupted(const char* mode) {
  const bool restart = is(mode, "sem-restart") || is(mode, "futex-restart");
  const bool is_futex = is(mode, "futex-restart") || is(mode, "futex-eintr");
  handle(SIGALRM, restart ? SA_RESTART : 0, count);
  handle(SIGTERM, SA_RESTART, post);
  alarm_ms(late_ms / 2);
  int result;
  if (is_futex) {
    // The word never changes: only EINTR or the end of the sibling's wait ends it.
    static int word;
    std::thread waker([] {
      pause_ms(late_ms);
      __atomic_store_n(&word, 1, __ATOMIC_RELEASE);
      syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    });
    sigset_t alarm;  // the main thread is to be interrupted
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    pthread_sigmask(SIG_UNBLOCK, &alarm, nullptr);
    result =
        static_cast<int>(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0));
    const int error = errno;
    waker.detach();
    errno = error;
  } else {
    result = sem_wait(&semaphore);
  }
  if (handled != 1) return 20;
  // 30: went on until it was ended. 31: came back with EINTR. Anything else is wrong.
  return result == 0 ? 30 : errno == EINTR ? 31 : 21;
}

int wait_well(const char* mode) {
  const std::string_view name(mode);
  if (name == "sem-handler" || name == "sem-alarm") {
    handle(SIGTERM, SA_RESTART, post);
    handle(SIGALRM, 0, post);
    if (name == "sem-alarm") alarm_ms(late_ms);
    return wait_for_sem();
  }
  if (name == "sigwait") return wait_for_sigwait();
  if (name == "sigsuspend") return wait_for_sigsuspend();
  if (name.substr(0, 6) == "shared" || name == "wait-child") return wait_for_another_process(mode);
  if (name == "pipe" || name == "accept" || name == "epoll" || name == "poll" || name == "select")
    return wait_for_descriptor(mode);
  if (name.find("-restart") != name.npos || name.find("-eintr") != name.npos)
    return interrupted(mode);
  return wait_for_sibling(mode);
}

// Ended by the child itself.
bool needs_parent(std::string_view mode) {
  for (const std::string_view alone : {"cond", "mutex", "rwlock", "join", "futex", "barrier", "sem",
                                       "sem-alarm", "wait-child", "futex-restart", "futex-eintr"})
    if (mode == alone) return false;
  return true;
}

}  // namespace

int main(int, char** arguments) {
  const char* mode = arguments[1];
  set_up();
  start_idle_threads();
  if (is(arguments[2], "pool")) {
    auto* pool = new victim::Pool(3);
    pool->use(10, 1000, 10'000);
  }
  if (is(mode, "shared-robust")) pthread_mutex_lock(&shared->robust);
  const int before = victim::count_tasks();
  const pid_t child = victim::spawn([&] { return wait_well(mode); });
  if (const long ms = victim::setting("STOP_MS", 0)) {
    victim::wait_until_asleep(child);
    kill(child, SIGSTOP);
    pause_ms(ms);
    kill(child, SIGCONT);
  }
  if (needs_parent(mode)) {
    pause_ms(late_ms);
    end_wait(mode, child);
  }
  const int code = victim::reap(child, 60'000);
  _exit(victim::count_tasks() == before ? code : 97);
}
