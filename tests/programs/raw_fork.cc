// A child made behind libc's back: the shim notices it by a page that is wiped on fork.
//
//   raw_fork clone|bare orphan     syscall(SYS_clone) or _Fork; the child wants a lock of a lost
//   thread raw_fork clone|bare works      its own threads, locks, and a fork of its own
#include <thread>

#include "tests/programs/victim.h"

namespace {

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;

pid_t raw_fork(bool bare) {
  const pid_t pid =
      bare ? victim::bare_fork() : static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
  if (pid < 0) victim::set_up_failed("clone");
  return pid;
}

int works() {
  for (int i = 0; i < 1000; i++) {
    if (pthread_mutex_lock(&own) != 0 || pthread_mutex_unlock(&own) != 0) return 1;
  }
  sem_t semaphore;
  sem_init(&semaphore, 0, 1);
  if (sem_wait(&semaphore) != 0) return 2;
  return victim::reap(victim::spawn([] { return pthread_mutex_lock(&own); }));
}

}  // namespace

int main(int, char** arguments) {
  const bool bare = victim::is(arguments[1], "bare");
  victim::Event held;
  pid_t tid = 0;
  std::thread([&] {
    pthread_setname_np(pthread_self(), "holder");
    pthread_mutex_lock(&mutex);
    tid = gettid();
    held.raise();
    victim::sleep_for_ever();
  }).detach();
  held.wait();
  victim::wait_until_asleep(tid);
  const pid_t pid = raw_fork(bare);
  if (pid == 0) {
    victim::begin_child();
    if (victim::is(arguments[2], "works")) _exit(works());
    victim::step("locks");
    _exit(pthread_mutex_lock(&mutex));
  }
  _exit(victim::reap(pid));
}
