// What every compiled victim of the catalogue uses: a loop of forks that tells the driver each
// step.
//
//   PROGRAM OPERATION [--first N] [--count N] [--busy]
//
// Promises: the events of repro_suite/fork_loop.py on stdout, each in one write; a child ends by
// _exit with a code for each step, or by exit() where that is the operation. Does not: time out or
// kill, which is the driver's part.
#pragma once

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace victim {

// Exit codes of children, above those of shells and of abort.
enum Step { kOk = 0, kFirst = 21, kSecond = 22, kThird = 23, kLost = 24, kTwice = 25 };

struct Options {
  std::string operation;
  int first = 1;
  int count = 1;
  bool busy = false;
};

inline Options parse(int count, char** arguments) {
  Options options;
  for (int i = 1; i < count; i++) {
    const std::string word = arguments[i];
    if (word == "--busy") {
      options.busy = true;
    } else if (word == "--first" && i + 1 < count) {
      options.first = std::atoi(arguments[++i]);
    } else if (word == "--count" && i + 1 < count) {
      options.count = std::atoi(arguments[++i]);
    } else {
      options.operation = word;
    }
  }
  return options;
}

inline void emit(const char* event, const char* name1 = nullptr, long value1 = 0,
                 const char* name2 = nullptr, long value2 = 0) {
  char line[256];
  int size = std::snprintf(line, sizeof line, "{\"event\": \"%s\", \"pid\": %d", event, getpid());
  if (name1 != nullptr)
    size += std::snprintf(line + size, sizeof line - size, ", \"%s\": %ld", name1, value1);
  if (name2 != nullptr)
    size += std::snprintf(line + size, sizeof line - size, ", \"%s\": %ld", name2, value2);
  size += std::snprintf(line + size, sizeof line - size, "}\n");
  if (write(1, line, static_cast<size_t>(size)) != size) _exit(2);
}

[[noreturn]] inline void usage(const char* operations) {
  std::fprintf(stderr, "no such operation; there are %s\n", operations);
  std::exit(2);
}

inline void pause_ms(long ms) {
  timespec time{ms / 1000, ms % 1000 * 1'000'000};
  while (nanosleep(&time, &time) != 0) {
  }
}

// Whether the shim is in this process: the driver cannot look once a short run is over.
inline bool preloaded() {
  FILE* maps = std::fopen("/proc/self/maps", "re");
  char line[1024];
  bool found = false;
  while (maps != nullptr && !found && std::fgets(line, sizeof line, maps) != nullptr)
    found = std::strstr(line, "/libforkmend.so") != nullptr;
  if (maps != nullptr) std::fclose(maps);
  return found;
}

// Threads of this process, by the kernel.
inline int count_tasks() {
  FILE* file = std::fopen("/proc/self/status", "re");
  char line[256];
  int tasks = -1;
  while (file != nullptr && std::fgets(line, sizeof line, file) != nullptr) {
    if (std::sscanf(line, "Threads: %d", &tasks) == 1) break;
  }
  if (file != nullptr) std::fclose(file);
  return tasks;
}

// Memory that parent and children share, so that what a child did is seen when it is gone.
template <class T>
T* shared() {
  void* memory =
      mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  return new (memory) T();
}

// Runs `prepare()` before each fork, `child()` in the child and `between()` in the parent beside
// it; `judge(status)` may replace the exit status of a child by what the parent saw of its work.
// between() tells with a code other than 0 that the parent's own runtime no longer works.
template <class Prepare, class Child, class Between, class Judge>
int fork_loop(const Options& options, Prepare prepare, Child child, Between between, Judge judge) {
  signal(SIGUSR1, SIG_IGN);  // with which the driver asks for Python stacks
  const bool with_shim = preloaded();
  char ready[96];
  const int size =
      std::snprintf(ready, sizeof ready, "{\"event\": \"ready\", \"pid\": %d, \"preloaded\": %s}\n",
                    getpid(), with_shim ? "true" : "false");
  if (write(1, ready, static_cast<size_t>(size)) != size) return 2;
  for (int number = options.first; number < options.first + options.count; number++) {
    prepare();
    emit("forking", "fork", number);
    const pid_t pid = fork();
    if (pid == 0) _exit(child());
    if (pid < 0) return 3;
    emit("forked", "fork", number, "child", pid);
    const int failed = between();
    if (failed != 0) {
      std::fprintf(stderr, "the parent's own use failed with %d\n", failed);
      return failed;
    }
    emit("waiting");
    int status = 0;
    if (waitpid(pid, &status, 0) != pid) return 4;
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    emit("exited", "child", pid, "status", judge(code));
  }
  emit("done");
  std::fflush(nullptr);
  _exit(0);
}

inline int as_it_is(int status) { return status; }

}  // namespace victim
