// Static destruction while threads of a registered runtime are alive that nobody stops.
//
//   cond       a static condition variable is destroyed while a thread waits on it: glibc waits for
//   it mutex      a thread locks a mutex that was destroyed: std::system_error, terminate container
//   a thread goes on filling a container that was destroyed needed     the destructor of a static
//   object waits for such a thread
//
// Exit code 7. Without the shim: a hang, two crashes, and (needed) the same as with it.
#include <atomic>
#include <deque>
#include <string>
#include <system_error>
#include <thread>

#include "forkmend/forkmend.h"
#include "tests/programs/victim.h"

namespace {

using victim::is;

const char* mode;
std::atomic<pid_t> logger{0};

// Destroyed last: time for whoever is still about, and the CPU too. Shorter than FORKMEND_EXIT_MS.
struct Linger {
  ~Linger() {
    for (int i = 0; i < 500; i++) usleep(1000);
  }
} linger;

struct State {
  pthread_mutex_t mutex;
  pthread_cond_t more, done;
  std::deque<std::string>* volatile lines = new std::deque<std::string>;
  bool asked = false, answered = false;
  State() {
    pthread_mutex_init(&mutex, nullptr);
    pthread_cond_init(&more, nullptr);
    pthread_cond_init(&done, nullptr);
  }
  ~State() {
    if (is(mode, "needed")) {
      pthread_mutex_lock(&mutex);
      asked = true;
      pthread_cond_broadcast(&more);
      while (!answered) pthread_cond_wait(&done, &mutex);
      pthread_mutex_unlock(&mutex);
    }
    if (is(mode, "cond")) pthread_cond_destroy(&more);
    if (is(mode, "mutex")) pthread_mutex_destroy(&mutex);
    if (is(mode, "container")) {
      const auto* old = lines;
      lines = nullptr;
      delete old;
    }
  }
} state;

// As std::recursive_mutex does where libstdc++ has no static initialiser, boost's mutex, Qt's …
void lock_or_throw() {
  if (const int error = pthread_mutex_lock(&state.mutex))
    throw std::system_error(error, std::generic_category());
}

void log() {
  logger.store(gettid());
  if (is(mode, "cond") || is(mode, "needed")) {
    lock_or_throw();
    while (!state.asked) pthread_cond_wait(&state.more, &state.mutex);
    state.answered = true;
    pthread_cond_broadcast(&state.done);
    pthread_mutex_unlock(&state.mutex);
    return;
  }
  for (long number = 0;; number++) {
    lock_or_throw();
    if (is(mode, "container")) {
      state.lines->push_back("a line that is too long for the string itself " +
                             std::to_string(number));
      if (state.lines->size() > 100) state.lines->pop_front();
    }
    pthread_mutex_unlock(&state.mutex);
  }
}

}  // namespace

int main(int, char** arguments) {
  mode = arguments[1];
  forkmend_runtime* runtime = forkmend_register("logger", nullptr, nullptr);
  std::thread([runtime] {
    forkmend_adopt_thread(runtime);
    log();
  }).detach();
  while (logger.load() == 0) sched_yield();
  if (is(mode, "cond") || is(mode, "needed")) victim::wait_until_asleep(logger);
  victim::step("leaves");
  return 7;
}
