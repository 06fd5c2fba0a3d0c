// Forks, threads and exec in places where programs rarely have them: ordinary work is done there,
// beside a thread that the forks lose.
//
//   anywhere once | thread-local | key | at-exit | fork-handlers | fork-in-handler | reused-handle
//   | generations |
//            last-thread | exec | spawn | no-privileges | robust
#include <fcntl.h>
#include <grp.h>
#include <spawn.h>
#include <sys/mman.h>

#include <thread>

#include "tests/programs/ordinary.h"

extern char** environ;

namespace {

// Ordinary work in a child.
int fork_here() {
  const pid_t child = fork();
  if (child < 0) return 96;
  if (child == 0) _exit(ordinary::serve_all(2, nullptr));
  return ordinary::result_of(child);
}

int result = 95;

int in_once() {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, [] { result = fork_here(); });
  return result;
}

struct ForksAtEnd {
  ~ForksAtEnd() { result = fork_here(); }
  int touched = 0;
};

int in_thread_local_destructor() {
  std::thread([] {
    thread_local ForksAtEnd object;
    object.touched = 1;
  }).join();
  return result;
}

int in_key_destructor() {
  static pthread_key_t key;
  pthread_key_create(&key, [](void*) {
    result = fork_here();
    std::thread([] {}).join();
  });
  std::thread([] { pthread_setspecific(key, &key); }).join();
  return result;
}

int at_exit() {
  atexit([] { _exit(fork_here()); });
  exit(94);
}

// Handlers of pthread_atfork that create and join threads.
int with_fork_handlers() {
  const auto make_thread = [] { std::thread([] {}).join(); };
  pthread_atfork(make_thread, make_thread, make_thread);
  for (int round = 0; round < 10; round++) {
    const pid_t child = fork();
    if (child == 0) _exit(fork_here());
    if (const int code = ordinary::result_of(child)) return code;
  }
  return 0;
}

// A fork inside of a fork's prepare handler.
int in_fork_handler() {
  thread_local int depth;
  pthread_atfork(
      [] {
        if (depth++ == 0) result = fork_here();
        depth--;
      },
      nullptr, nullptr);
  if (const int code = fork_here()) return code;
  return result;
}

// The child keeps its thread's handle in the variable in which the parent kept one of a thread that
// had not begun.
int reused_handle() {
  for (int round = 0; round < 50; round++) {
    pthread_t thread;
    if (pthread_create(&thread, nullptr, ordinary::sleep_until_cancelled, nullptr) != 0) return 1;
    const pid_t child = fork();
    if (child == 0) {
      for (int i = 0; i < 3; i++) {
        if (pthread_create(&thread, nullptr, ordinary::sleep_until_cancelled, nullptr) != 0)
          _exit(2);
        if (victim::count_tasks() != i + 2) _exit(3);
      }
      _exit(0);
    }
    if (const int code = ordinary::result_of(child)) return code;
    pthread_cancel(thread);
    pthread_join(thread, nullptr);
  }
  return 0;
}

// Each generation has a thread, and a child.
int generations(int left) {
  pthread_t thread;
  if (pthread_create(&thread, nullptr, ordinary::sleep_until_cancelled, nullptr) != 0) return 1;
  if (left == 0) return ordinary::work();
  const pid_t child = fork();
  if (child < 0) return 2;
  if (child == 0) _exit(generations(left - 1));
  return ordinary::result_of(child);
}

// The forking thread is the child's only one, and ends: so does the process, by exit.
int last_thread() {
  std::thread([] {
    const pid_t child = fork();
    if (child == 0) {
      atexit([] { _exit(7); });
      pthread_exit(nullptr);
    }
    result = ordinary::result_of(child);
  }).join();
  return result == 7 ? 0 : 1;
}

// By a thread that is not the main one, beside others; and by descriptor.
int exec_itself(char* name) {
  char work[] = "work";
  char* arguments[] = {name, work, nullptr};
  pid_t child = fork();
  if (child == 0) {
    std::thread(victim::sleep_for_ever).detach();
    std::thread([&] { execv("/proc/self/exe", arguments); }).join();
    _exit(1);
  }
  if (const int code = ordinary::result_of(child)) return code;
  child = fork();
  if (child == 0) {
    fexecve(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), arguments, environ);
    _exit(2);
  }
  return ordinary::result_of(child);
}

int spawn_itself(char* name) {
  char work[] = "work";
  char* arguments[] = {name, work, nullptr};
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  pid_t child;
  for (const posix_spawnattr_t* each : {static_cast<posix_spawnattr_t*>(nullptr), &attributes}) {
    if (posix_spawn(&child, "/proc/self/exe", nullptr, each, arguments, environ) != 0) return 1;
    if (const int code = ordinary::result_of(child)) return code;
  }
  return posix_spawn(&child, "/nothing/here", nullptr, nullptr, arguments, environ) == ENOENT ? 0
                                                                                              : 2;
}

// setuid reaches every thread, by a signal of libc's own; then the process works as somebody else.
int without_privileges() {
  std::thread asleep([] { usleep(100'000); });
  victim::become_nobody();
  const int code = fork_here();
  asleep.join();
  return code != 0 ? code : ordinary::work();
}

// A robust mutex that other processes see: its owner dies as a thread, as a process, and by exec.
int robust() {
  auto* mutex = static_cast<pthread_mutex_t*>(mmap(
      nullptr, sizeof(pthread_mutex_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  for (const int protocol : {PTHREAD_PRIO_NONE, PTHREAD_PRIO_INHERIT}) {
    pthread_mutexattr_setprotocol(&attributes, protocol);
    pthread_mutex_init(mutex, &attributes);
    for (const bool as_process : {false, true}) {
      const pid_t child = as_process ? fork() : 0;
      if (child == 0) std::thread([&] { pthread_mutex_lock(mutex); }).join();
      if (as_process && child == 0) execl("/bin/true", "true", nullptr);
      if (as_process && ordinary::result_of(child) != 0) return 1;
      if (pthread_mutex_lock(mutex) != EOWNERDEAD) return 2;
      if (pthread_mutex_consistent(mutex) != 0 || pthread_mutex_unlock(mutex) != 0) return 3;
    }
  }
  return 0;
}

int act(const char* mode, char* name) {
  if (victim::is(mode, "work")) return ordinary::work();
  if (victim::is(mode, "once")) return in_once();
  if (victim::is(mode, "thread-local")) return in_thread_local_destructor();
  if (victim::is(mode, "key")) return in_key_destructor();
  if (victim::is(mode, "at-exit")) return at_exit();
  if (victim::is(mode, "fork-handlers")) return with_fork_handlers();
  if (victim::is(mode, "fork-in-handler")) return in_fork_handler();
  if (victim::is(mode, "reused-handle")) return reused_handle();
  if (victim::is(mode, "generations")) return generations(100);
  if (victim::is(mode, "last-thread")) return last_thread();
  if (victim::is(mode, "exec")) return exec_itself(name);
  if (victim::is(mode, "spawn")) return spawn_itself(name);
  if (victim::is(mode, "no-privileges")) return without_privileges();
  if (victim::is(mode, "robust")) return robust();
  victim::set_up_failed(mode);
}

}  // namespace

int main(int, char** arguments) {
  pthread_t lost;
  if (!victim::is(arguments[1], "reused-handle") &&
      pthread_create(&lost, nullptr, ordinary::sleep_until_cancelled, nullptr) != 0)
    victim::set_up_failed("pthread_create");
  _exit(act(arguments[1], arguments[0]));
}
