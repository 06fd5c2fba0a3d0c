// A child hands work to a lost thread, and then waits for something that a signal handler will
// give it: healthy, however long it takes.
//
//   handler_ends_wait sem|cond alarm     the lost thread waited on a semaphore, on a condition
//   handler_ends_wait sem|cond term      variable; the signal is the child's own alarm, or comes
//                                        from the parent after LATE_MS (3,000)
//   handler_ends_wait sem|cond leave     the child waits on a condition variable that nobody
//                                        signals, and its handler ends the process
#include <sys/time.h>

#include <thread>

#include "tests/programs/victim.h"

namespace {

using victim::is;

sem_t work, done;
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t more = PTHREAD_COND_INITIALIZER, never = PTHREAD_COND_INITIALIZER;
bool has_work;
victim::Event idle;

void serve(bool by_cond) {
  pthread_mutex_lock(&mutex);
  idle.raise();
  while (by_cond && !has_work) pthread_cond_wait(&more, &mutex);
  pthread_mutex_unlock(&mutex);
  while (sem_wait(&work) != 0) {
  }
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigaction(signal, &action, nullptr);
}

void hand_over(bool by_cond) {
  if (!by_cond) {
    sem_post(&work);
    return;
  }
  pthread_mutex_lock(&mutex);
  has_work = true;
  pthread_cond_signal(&more);
  pthread_mutex_unlock(&mutex);
}

int child(bool by_cond, const char* mode, long late_ms) {
  const bool leaves = is(mode, "leave");
  const auto handler = leaves ? +[](int) { _exit(0); } : +[](int) { sem_post(&done); };
  handle(SIGALRM, handler);
  handle(SIGTERM, handler);
  hand_over(by_cond);
  victim::step("waits");
  if (is(mode, "alarm")) {
    const itimerval once{{0, 0}, {late_ms / 1000, late_ms % 1000 * 1000}};
    setitimer(ITIMER_REAL, &once, nullptr);
  }
  if (leaves) {
    pthread_mutex_lock(&mutex);
    for (;;) pthread_cond_wait(&never, &mutex);
  }
  while (sem_wait(&done) != 0) {
    if (errno != EINTR) return 1;
  }
  return 0;
}

}  // namespace

int main(int, char** arguments) {
  const bool by_cond = is(arguments[1], "cond");
  const char* mode = arguments[2];
  const long late_ms = victim::setting("LATE_MS", 3000);
  sem_init(&work, 0, 0);
  sem_init(&done, 0, 0);
  std::thread(serve, by_cond).detach();
  idle.wait();
  pthread_mutex_lock(&mutex);  // once it can be had, the other waits
  const pid_t pid = victim::spawn([&] {
    pthread_mutex_unlock(&mutex);
    return child(by_cond, mode, late_ms);
  });
  pthread_mutex_unlock(&mutex);
  if (!is(mode, "alarm")) {
    const timespec pause{late_ms / 1000, late_ms % 1000 * 1'000'000};
    nanosleep(&pause, nullptr);
    kill(pid, SIGTERM);
  }
  _exit(victim::reap(pid));
}
