// A thread asks a name server that answers after two seconds; meanwhile the process forks 100
// times, and each child looks a name up that needs no server.
//
// The server and the file that names it are in namespaces of this program's own (needs root).
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>

#include "tests/programs/victim.h"

namespace {

constexpr int kForks = 100;
constexpr long kAnswerAfterMs = 2000;
constexpr in_port_t kDomain = 53;

int server;
std::atomic<int> asked;
victim::Event first_asked;

void make_namespaces() {
  if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) victim::set_up_failed("unshare");
  // Below a chroot the root is no mount of its own: whoever made that one has seen to it.
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 && errno != EINVAL)
    victim::set_up_failed("mount");
  const int any = socket(AF_INET, SOCK_DGRAM, 0);
  ifreq loopback{};
  strcpy(loopback.ifr_name, "lo");
  loopback.ifr_flags = IFF_UP;
  if (ioctl(any, SIOCSIFFLAGS, &loopback) != 0) victim::set_up_failed("lo");
  close(any);
}

// The text replaces /etc/resolv.conf, for this process and its children.
void name_the_server() {
  constexpr std::string_view kText = "nameserver 127.0.0.1\noptions timeout:10 attempts:1\n";
  char path[] = "/tmp/victim-resolv-XXXXXX";
  const int file = mkstemp(path);
  if (file < 0 || write(file, kText.data(), kText.size()) != static_cast<ssize_t>(kText.size()) ||
      mount(path, "/etc/resolv.conf", nullptr, MS_BIND, nullptr) != 0)
    victim::set_up_failed("resolv.conf");
  close(file);
  unlink(path);
}

void listen_as_server() {
  server = socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(kDomain);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(server, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    victim::set_up_failed("bind");
}

// Each question comes back as its own answer, "no such name", when its time is over.
void* serve(void*) {
  for (;;) {
    unsigned char packet[512];
    sockaddr_in client;
    socklen_t size = sizeof client;
    const ssize_t read =
        recvfrom(server, packet, sizeof packet, 0, reinterpret_cast<sockaddr*>(&client), &size);
    if (read < 12) continue;
    if (asked++ == 0) first_asked.raise();
    const timespec time{kAnswerAfterMs / 1000, 0};
    nanosleep(&time, nullptr);
    packet[2] = 0x81;  // an answer to a recursive question
    packet[3] = 0x83;  // the server recurses; there is no such name
    sendto(server, packet, static_cast<size_t>(read), 0, reinterpret_cast<sockaddr*>(&client),
           size);
  }
}

void* ask(void*) {
  for (;;) {
    addrinfo* found = nullptr;
    if (getaddrinfo("victim.invalid", "80", nullptr, &found) == 0) freeaddrinfo(found);
  }
}

int resolve_in_child() {
  addrinfo hints{};
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  if (getaddrinfo("127.0.0.1", "80", &hints, &found) != 0) return 1;
  freeaddrinfo(found);
  return 0;
}

void start(void* (*routine)(void*)) {
  pthread_t thread;
  if (pthread_create(&thread, nullptr, routine, nullptr) != 0) victim::set_up_failed("thread");
}

}  // namespace

int main() {
  make_namespaces();
  name_the_server();
  listen_as_server();
  start(serve);
  start(ask);
  first_asked.wait();
  long took[kForks];
  for (long& time : took) {
    const long before = victim::now_ns();
    const pid_t child = victim::spawn(resolve_in_child);
    time = victim::now_ns() - before;
    if (const int code = victim::reap(child)) _exit(code);
  }
  std::sort(took, took + kForks);
  victim::step("fork-p99", took[kForks * 99 / 100 - 1]);
  victim::step("asked", asked.load());
  _exit(0);
}
