// A thread stands inside localtime(), which holds libc's lock of the time zone: the zone is a pipe
// that nobody writes to. The child converts a time as well.
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/programs/victim.h"

namespace {

victim::Event begun;
pid_t reader;

void* read_zone(void*) {
  reader = static_cast<pid_t>(syscall(SYS_gettid));
  begun.raise();
  const time_t now = time(nullptr);
  localtime(&now);
  return nullptr;
}

}  // namespace

int main() {
  char folder[] = "/tmp/victim-zone-XXXXXX";
  if (mkdtemp(folder) == nullptr) victim::set_up_failed("mkdtemp");
  char pipe[64], zone[80];
  snprintf(pipe, sizeof pipe, "%s/zone", folder);
  snprintf(zone, sizeof zone, ":%s", pipe);
  if (mkfifo(pipe, 0600) != 0) victim::set_up_failed("mkfifo");
  setenv("TZ", zone, 1);
  pthread_t thread;
  pthread_setname_np(pthread_self(), "victim");
  if (pthread_create(&thread, nullptr, read_zone, nullptr) != 0) victim::set_up_failed("thread");
  begun.wait();
  victim::wait_until_asleep(reader);
  const pid_t child = victim::spawn([] {
    const time_t now = time(nullptr);
    tm broken_down;
    victim::step("converts");
    localtime_r(&now, &broken_down);
    return 0;
  });
  const int code = victim::reap(child);
  unlink(pipe);
  rmdir(folder);
  _exit(code);
}
