// Makes every kind of descriptor whose maker may be noted, and says how many mappings the process
// gained by it: in a program whose libraries nobody resumes none.
//
// Before the first thread, as libraries make them, and after; each call twice, the first time from
// a place that was not seen before.
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#include "victim.h"

namespace {

int mappings() {
  FILE* maps = fopen("/proc/self/maps", "r");
  if (maps == nullptr) victim::set_up_failed("/proc/self/maps");
  int lines = 0;
  for (int c; (c = fgetc(maps)) != EOF;) lines += c == '\n';
  fclose(maps);
  return lines;
}

void require(bool done, const char* what) {
  if (!done) victim::set_up_failed(what);
}

void make_all() {
  int ends[2];
  require(epoll_create(1) >= 0 && epoll_create1(0) >= 0, "epoll");
  require(eventfd(0, 0) >= 0, "eventfd");
  require(timerfd_create(CLOCK_MONOTONIC, 0) >= 0, "timerfd");
  require(pipe(ends) == 0 && pipe2(ends, 0) == 0, "pipe");
  require(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  require(connect(socket(AF_UNIX, SOCK_DGRAM, 0), reinterpret_cast<sockaddr*>(&address),
                  sizeof address) != 0,
          "connect");
}

long gained(void (*make)()) {
  const int before = mappings();
  make();
  return mappings() - before;
}

}  // namespace

int main() {
  mappings();  // stdio's own
  victim::step("gained", gained(make_all));
  pthread_t thread;
  require(pthread_create(
              &thread, nullptr, [](void* nothing) { return nothing; }, nullptr) == 0,
          "pthread_create");
  pthread_join(thread, nullptr);
  victim::step("gained-later", gained(make_all));
}
