// The exit phase of programs in C++: which callbacks run, when, and what they can hold up.
//
//   order     three runtimes and handlers among them: each stops in its place, the last one first
//   hang      a stop callback that never returns: exit waits FORKMEND_EXIT_MS for it, and no longer
//   stays     a stop callback that returns while the runtime's thread goes on: the same
//   err, thread, last, quick    exit by err(3), in another thread, as the last thread ends,
//                               by quick_exit
//   child     a forked child has lost the threads: nothing to stop
//   handler   a handler that was registered after the runtime uses it: its threads are still there
//   earlier   one that was registered before it: its threads come back for it
//
// The exit code is 7, or 0 where the last thread ends. Without the shim nobody calls the callbacks.
#include <err.h>

#include <atomic>

#include "forkmend/forkmend.h"
#include "tests/programs/victim.h"

namespace {

using victim::is;

constexpr int kCode = 7;

void say(const char* text) {
  if (write(1, text, strlen(text)) < 0) _exit(victim::kSetUpFailed);
}

// A runtime of one thread that counts the jobs it is given.
struct Worker {
  explicit Worker(const char* its_name) : name(its_name) {
    forkmend_callbacks callbacks{};
    callbacks.size = sizeof callbacks;
    callbacks.stop = [](void* self) { static_cast<Worker*>(self)->stop(); };
    callbacks.respawn = [](void* self) { return static_cast<Worker*>(self)->start(); };
    runtime = forkmend_register(name, &callbacks, this);
    start();
  }
  int start() {
    stopping = false;
    sem_init(&jobs, 0, 0);
    sem_init(&done, 0, 0);
    const int error = pthread_create(
        &thread, nullptr,
        [](void* self) -> void* {
          static_cast<Worker*>(self)->work();
          return nullptr;
        },
        this);
    while (error == 0 && sem_wait(&done) != 0) {
    }
    return error;
  }
  void work() {
    forkmend_adopt_thread(runtime);
    sem_post(&done);
    for (;;) {
      while (sem_wait(&jobs) != 0) {
      }
      if (stopping) return;
      sem_post(&done);
    }
  }
  void stop() {
    if (hangs) pause();
    char line[64];
    snprintf(line, sizeof line, "stop %s\n", name);
    say(line);
    if (stays) return;
    stopping = true;
    sem_post(&jobs);
    pthread_join(thread, nullptr);
  }
  // One job, to its end.
  void use() {
    forkmend_enqueue(runtime);
    sem_post(&jobs);
    while (sem_wait(&done) != 0) {
    }
  }

  const char* name;
  forkmend_runtime* runtime;
  pthread_t thread;
  sem_t jobs, done;
  std::atomic<bool> stopping{false};
  bool hangs = false, stays = false;
};

Worker* first;

struct Static {
  explicit Static(const char* text) : says(text) {}
  ~Static() { say(says); }
  const char* says;
};

int order() {
  static Static oldest("destructor of what was there before\n");
  first = new Worker("one");
  atexit([] {
    first->use();
    say("handler between one and two\n");
  });
  new Worker("two");
  static Static younger("destructor between two and three\n");
  new Worker("three");
  atexit([] { say("handler after three\n"); });
  printf("buffered\n");
  return kCode;
}

}  // namespace

int main(int, char** arguments) {
  const char* mode = arguments[1];
  setvbuf(stdout, nullptr, _IOFBF, 4096);
  if (is(mode, "order")) return order();
  if (is(mode, "earlier")) {
    atexit([] {
      first->use();
      say("used\n");
    });
  }
  first = new Worker("one");
  first->use();
  if (is(mode, "handler")) {
    atexit([] {
      first->use();
      say("used\n");
    });
  }
  first->hangs = is(mode, "hang");
  first->stays = is(mode, "stays");
  if (is(mode, "err")) {
    close(2);
    err(kCode, "leaving");
  }
  if (is(mode, "thread")) {
    pthread_t thread;
    pthread_create(
        &thread, nullptr, [](void*) -> void* { exit(kCode); }, nullptr);
    for (;;) pause();
  }
  if (is(mode, "last")) {
    first->stopping = true;
    sem_post(&first->jobs);
    while (victim::count_tasks() > 1) sched_yield();
    pthread_exit(nullptr);  // libc ends the process with 0
  }
  if (is(mode, "quick")) quick_exit(kCode);
  if (is(mode, "child")) {
    const pid_t child = fork();
    if (child == 0) exit(kCode);
    const int code = victim::reap(child);
    say("child over\n");
    return code;
  }
  return kCode;
}
