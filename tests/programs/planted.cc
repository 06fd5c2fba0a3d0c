// What stands in the way of a report: the process must end when it is told to, and write nowhere
// else.
//
//   planted fifo DIRECTORY     a FIFO under the name that a report file once had
//   planted file DIRECTORY     a file there that anybody may read and write
//   planted stderr DIRECTORY   a pipe as stderr that is full and that nobody reads
//
// The child waits for a lock of a lost thread. When it has written its report, or after 5 s, it
// gets SIGTERM: exit code 143 if it ended by that, 99 if not, 2 if something stands in the planted
// file.
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "tests/programs/victim.h"

namespace {

using victim::is;

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

void* hold(void* held) {
  pthread_mutex_lock(&mutex);
  static_cast<victim::Event*>(held)->raise();
  victim::sleep_for_ever();
}

// PID-START-NAMESPACE.jsonl, which anybody can read in /proc.
void foretold_name(pid_t pid, const char* directory, char (&name)[512]) {
  char path[64], text[2048] = {}, space[64] = {};
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  const int fd = open(path, O_RDONLY);
  if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) victim::set_up_failed(path);
  close(fd);
  const char* at = strrchr(text, ')') + 2;
  for (int field = 3; field < 22; field++) at = strchr(at, ' ') + 1;
  if (readlink("/proc/self/ns/pid", space, sizeof space - 1) < 0) victim::set_up_failed("ns/pid");
  snprintf(name, sizeof name, "%s/%d-%lu-%lu.jsonl", directory, pid, strtoul(at, nullptr, 10),
           strtoul(strchr(space, '[') + 1, nullptr, 10));
}

void fill_stderr() {
  int ends[2];
  if (pipe(ends) != 0 || dup2(ends[1], 2) != 2) victim::set_up_failed("pipe");
  fcntl(2, F_SETFL, O_NONBLOCK);
  char page[4096] = {};
  while (write(2, page, sizeof page) > 0) {
  }
  fcntl(2, F_SETFL, 0);
}

}  // namespace

int main(int, char** arguments) {
  const char *mode = arguments[1], *directory = arguments[2];
  victim::Event held;
  pthread_t holder;
  pthread_create(&holder, nullptr, hold, &held);
  held.wait();
  const int watch = inotify_init1(IN_CLOEXEC);
  if (inotify_add_watch(watch, directory, IN_CLOSE_WRITE) < 0) victim::set_up_failed("inotify");
  const pid_t child = victim::spawn([&] {
    char name[512];
    foretold_name(getpid(), directory, name);
    umask(0);
    if (is(mode, "stderr")) {
      fill_stderr();
    } else if (mknod(name, (is(mode, "fifo") ? S_IFIFO : S_IFREG) | 0666, 0) != 0) {
      victim::set_up_failed("mknod");
    }
    victim::step("locks");
    pthread_mutex_lock(&mutex);
    return 1;
  });
  pollfd written{watch, POLLIN, 0};
  const int reported = poll(&written, 1, 5000);
  victim::step("reported", reported);
  char name[512];
  foretold_name(child, directory, name);
  kill(child, SIGTERM);
  const int code = victim::reap(child, 3000);
  struct stat info {};
  if (is(mode, "file") && (stat(name, &info) != 0 || info.st_size != 0)) _exit(2);
  _exit(code);
}
