// Handlers of others (pthread_atfork) run in their documented order: prepare handlers last
// registered first, the others first registered first; and they may allocate, print and lock.
//
//   atfork_order     forks from the main thread and from another one, with idle threads of a
//                    registered runtime and of none; says what ran, in order, in parent and child
#include <atomic>
#include <mutex>
#include <string>
#include <thread>

#include "include/forkmend/forkmend.h"
#include "tests/programs/victim.h"

namespace {

std::mutex mutex;
std::string* ran;  // allocated by the handlers themselves

void note(const char* what) {
  const std::lock_guard lock(mutex);
  if (ran == nullptr) ran = new std::string;
  *ran += what;
  *ran += ' ';
  fprintf(stderr, "%s\n", what);  // stdio's locks are whole as well
}

template <int who>
void prepare() {
  char text[] = "prepare-?";
  text[8] = static_cast<char>('a' + who);
  note(text);
}
template <int who>
void parent() {
  char text[] = "parent-?";
  text[7] = static_cast<char>('a' + who);
  note(text);
}
template <int who>
void child() {
  char text[] = "child-?";
  text[6] = static_cast<char>('a' + who);
  note(text);
}
template <int who>
void registers() {
  if (pthread_atfork(prepare<who>, parent<who>, child<who>) != 0)
    victim::set_up_failed("pthread_atfork");
}

__attribute__((constructor)) void before_main() { registers<0>(); }

void fork_and_say(const char* from) {
  ran->clear();
  const pid_t pid = fork();
  if (pid == 0) {
    victim::begin_child();
    printf("%s, child: %s\n", from, ran->c_str());
    fflush(stdout);
    _exit(0);
  }
  if (const int code = victim::reap(pid)) _exit(code);
  printf("%s, parent: %s\n", from, ran->c_str());
  fflush(stdout);
}

}  // namespace

int main() {
  registers<1>();
  ran = new std::string;
  forkmend_runtime* runtime = forkmend_register("idle", nullptr, nullptr);
  std::atomic<int> ready{0};
  for (int i = 0; i < 4; i++) {
    std::thread([&ready, runtime, i] {
      if (i % 2 == 0) forkmend_adopt_thread(runtime);
      ready++;
      victim::sleep_for_ever();
    }).detach();
  }
  while (ready < 4) sched_yield();
  registers<2>();
  fork_and_say("main");
  std::thread([] { fork_and_say("thread"); }).join();
  registers<3>();
  fork_and_say("main again");
  _exit(0);
}
