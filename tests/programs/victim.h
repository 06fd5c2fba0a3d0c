// What every victim uses: steps that the runner sees, children with a deadline, exit codes.
//
// A child never asserts: it ends by _exit with a code for each step, so that the code says how far
// it came. 0 is good, 1 to 97 are the program's own, and the two below.
#pragma once

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

// glibc 2.34 and later.
extern "C" pid_t _Fork() noexcept __attribute__((weak));

namespace victim {

inline constexpr int kSetUpFailed = 98;
inline constexpr int kHung = 99;  // the child did not end within the deadline and was killed

inline long now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000L + t.tv_nsec;
}

// "step NAME MONOTONIC_NS VALUE" on stdout, in one write. The runner waits for such lines.
inline void step(const char* name, long value = getpid()) {
  char line[128];
  const int size = snprintf(line, sizeof line, "step %s %ld %ld\n", name, now_ns(), value);
  if (write(1, line, static_cast<size_t>(size)) != size) _exit(kSetUpFailed);
}

// Ends a process that cannot be what the test needs.
[[noreturn]] inline void set_up_failed(const char* what) {
  perror(what);
  _exit(kSetUpFailed);
}

inline long setting(const char* name, long fallback) {
  const char* text = getenv(name);
  return text != nullptr ? atol(text) : fallback;
}

// In a new child: it does not outlive the runner's patience with its parent.
inline void begin_child() { prctl(PR_SET_PDEATHSIG, SIGKILL); }

// Forks; the child runs body() and ends with its result.
template <class Body>
pid_t spawn(Body&& body) {
  const pid_t pid = fork();
  if (pid < 0) set_up_failed("fork");
  if (pid == 0) {
    begin_child();
    _exit(body());
  }
  return pid;
}

// A fork without atfork handlers, where libc has one; before that, what it stands for.
inline pid_t bare_fork() {
  return _Fork != nullptr ? _Fork() : static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

// Waits for a child, at most VICTIM_MS (20 s): its exit code, 128 + signal, or kHung.
inline int reap(pid_t pid, long ms = setting("VICTIM_MS", 20'000)) {
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) set_up_failed("pidfd_open");
  pollfd ended{fd, POLLIN, 0};
  const long until = now_ns() + ms * 1'000'000;
  int ready;
  do {
    const long left = (until - now_ns()) / 1'000'000;
    ready = poll(&ended, 1, left > 0 ? static_cast<int>(left) : 0);
  } while (ready < 0 && errno == EINTR);
  close(fd);
  if (ready == 0) {
    kill(pid, SIGKILL);
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return kHung;
  }
  int status;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) set_up_failed("waitpid");
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Threads of this process, by the kernel: the shim has none of its own.
inline int count_tasks() {
  FILE* file = fopen("/proc/self/status", "re");
  char line[256];
  int tasks = -1;
  while (file != nullptr && fgets(line, sizeof line, file) != nullptr) {
    if (sscanf(line, "Threads: %d", &tasks) == 1) break;
  }
  if (file != nullptr) fclose(file);
  return tasks;
}

// A flag that one thread raises and others wait for.
class Event {
 public:
  Event() { sem_init(&raised_, 0, 0); }
  void raise() { sem_post(&raised_); }
  void wait() {
    while (sem_wait(&raised_) != 0) {
    }
  }

 private:
  sem_t raised_;
};

// Waits until another thread or process sleeps in the kernel. No event tells that, so it looks.
inline void wait_until_asleep(pid_t tid) {
  char path[64], text[256];
  snprintf(path, sizeof path, "/proc/%d/stat", tid);
  for (;;) {
    FILE* file = fopen(path, "re");
    if (file == nullptr) set_up_failed(path);
    const bool read = fgets(text, sizeof text, file) != nullptr;
    fclose(file);
    const char* end = read ? strrchr(text, ')') : nullptr;
    if (end != nullptr && end[2] == 'S') return;
    sched_yield();
  }
}

// Sleeps for ever. What a thread does that will be lost.
[[noreturn]] inline void sleep_for_ever() {
  for (;;) {
    const timespec hour{3600, 0};
    nanosleep(&hour, nullptr);
  }
}

inline bool is(const char* argument, std::string_view name) {
  return argument != nullptr && name == argument;
}

// Loss of privileges, so that RLIMIT_NPROC counts: the limit does not bind root.
inline void become_nobody() {
  if (getuid() != 0) return;
  constexpr uid_t kNobody = 65534;
  if (setresgid(kNobody, kNobody, kNobody) != 0 || setresuid(kNobody, kNobody, kNobody) != 0)
    set_up_failed("setresuid");
}

}  // namespace victim
