// A runtime whose queue wakes nobody (spin_queue.h), used by the child: only the functions that its
// profile names say that work was handed over.
//
//   declared MODE [forks=N]
//
// MODE is what the child does: submit (through the procedure linkage table), pointer,
// table (of functions, in data), many and wide (arguments in every register and on the stack; wide
// is a registered runtime as respawn is), threads (eight at once), handler (in a signal handler),
// vfork (a vfork child calls it first), grandchild, nested (a job submits another), never, eagain,
// respawn (a runtime registered through the API).
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "include/forkmend/forkmend.h"
#include "tests/programs/spin_queue.h"
#include "tests/programs/victim.h"

using namespace victim;

namespace {

constexpr int kThreads = 3;
SpinJob in_handler;
int tasks_in_handler;
std::atomic<int> respawns{0};
void (*const volatile in_a_table)(SpinJob*) = &spin_submit;

int submit() {
  SpinJob job;
  spin_submit(&job);
  spin_wait(&job);
  return count_tasks() == 1 + kThreads ? 0 : 11;
}

int pointer() {
  SpinJob job;
  void (*volatile by_pointer)(SpinJob*) = &spin_submit;
  by_pointer(&job);
  spin_wait(&job);
  return 0;
}

int table() {
  SpinJob job;
  in_a_table(&job);
  spin_wait(&job);
  return 0;
}

int many() {
  SpinJob job;
  // Six words and eight vectors are in registers: the rest lies on the stack.
  const long double sum = spin_submit_many(&job, 10, 1L, 0.5, 2L, 0.25, 3L, 0.125, 4L, 1.5, 5L, 2.5,
                                           6L, 3.5, 7L, 4.5, 8L, 5.5, 9L, 6.5, 10L, 7.5);
  if (sum != 55.0L + 32.375L) return 12;
  spin_wait(&job);
  return 0;
}

// What code between a call and the function may do, libc's for one.
__attribute__((target("avx"))) void clear_vectors() {
  asm volatile("vzeroall" ::
                   : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                     "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

__attribute__((target("avx"))) int wide() {
  SpinJob job;
  const SpinWide a{1, 2, 3, 4}, b{10, 20, 30, 40};
  const SpinWide sum = spin_submit_wide(&job, a, b);
  if (sum[0] != 11 || sum[1] != 22 || sum[2] != 33 || sum[3] != 44) return 13;
  spin_wait(&job);
  return 0;
}

int threads() {
  constexpr int kSubmitters = 8;
  static std::atomic<int> ready{0};
  const auto body = [](void*) -> void* {
    ready++;
    while (ready.load() < kSubmitters) sched_yield();
    for (int i = 0; i < 5; i++) {
      SpinJob job;
      spin_submit(&job);
      spin_wait(&job);
    }
    return nullptr;
  };
  pthread_t thread[kSubmitters];
  for (pthread_t& one : thread) {
    if (pthread_create(&one, nullptr, body, nullptr) != 0) return 14;
  }
  for (pthread_t one : thread) pthread_join(one, nullptr);
  return count_tasks() == 1 + kThreads ? 0 : 15;
}

int handler() {
  struct sigaction action {};
  action.sa_handler = [](int) {
    spin_submit(&in_handler);
    tasks_in_handler = count_tasks();
  };
  sigaction(SIGUSR1, &action, nullptr);
  raise(SIGUSR1);
  if (tasks_in_handler != 1) return 16;  // no thread is made in a signal handler
  const timespec pause{0, 1'000'000};
  nanosleep(&pause, nullptr);  // the next call that no handler makes
  spin_wait(&in_handler);
  return count_tasks() == 1 + kThreads ? 0 : 17;
}

int from_vfork() {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  const pid_t pid = vfork();
#pragma GCC diagnostic pop
  if (pid == 0) {
    spin_touch();
    _exit(0);
  }
  if (reap(pid) != 0 || count_tasks() != 1) return 18;
  return submit();
}

int grandchild() {
  for (int round = 0; round < 2; round++) {
    const pid_t pid = spawn(submit);
    if (const int code = reap(pid)) return 30 + code;
    if (const int code = submit()) return code;
  }
  return 0;
}

int nested() {
  static SpinJob inner;
  SpinJob outer;
  outer.run = [](SpinJob*) { spin_submit(&inner); };
  spin_submit(&outer);
  spin_wait(&outer);
  spin_wait(&inner);
  return 0;
}

int connection = -1, accepted = -1;
ssize_t sent;

void connect_to_self() {
  const int listening = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  socklen_t size = sizeof address;
  auto* plain = reinterpret_cast<sockaddr*>(&address);
  if (listen(listening, 1) != 0 || getsockname(listening, plain, &size) != 0)
    set_up_failed("listen");
  connection = spin_connect(ntohs(address.sin_port));
  accepted = accept(listening, nullptr, nullptr);
  if (connection < 0 || accepted < 0) set_up_failed("connect");
  close(listening);
}

// The library's threads in the child do not write on their parent's connection.
int child_sends() {
  SpinJob job;
  job.run = [](SpinJob*) { sent = send(connection, "child", 5, MSG_NOSIGNAL); };
  spin_submit(&job);
  spin_wait(&job);
  return sent < 0 ? 0 : 21;
}

int parent_sends() {
  char text[16];
  if (send(connection, "parent", 6, MSG_NOSIGNAL) != 6) return 22;
  const ssize_t size = recv(accepted, text, sizeof text, 0);
  return size == 6 && memcmp(text, "parent", 6) == 0 ? 0 : 23;
}

int eagain() {
  become_nobody();
  rlimit limit;
  getrlimit(RLIMIT_NPROC, &limit);
  const rlimit none{1, limit.rlim_max};
  setrlimit(RLIMIT_NPROC, &none);
  SpinJob first;
  spin_submit(&first);
  if (count_tasks() != 1) return 19;
  setrlimit(RLIMIT_NPROC, &limit);
  if (const int code = submit()) return code;
  spin_wait(&first);
  return 0;
}

forkmend_runtime* runtime;
std::atomic<int> adopted{0};

// Each thread of the library says whose it is; no other takes its job meanwhile.
void adopt_all() {
  adopted.store(0);
  SpinJob jobs[kThreads];
  for (SpinJob& job : jobs) {
    job.run = [](SpinJob*) {
      forkmend_adopt_thread(runtime);
      adopted++;
      while (adopted.load() < kThreads) sched_yield();
    };
    const int before = adopted.load();
    spin_submit(&job);
    while (adopted.load() == before) sched_yield();
  }
  for (SpinJob& job : jobs) spin_wait(&job);
}

int child(const char* mode) {
  alarm(60);
  if (is(mode, "never")) return count_tasks() == 1 ? 0 : 10;
  step("submits");
  if (is(mode, "submit")) return submit();
  if (is(mode, "pointer")) return pointer();
  if (is(mode, "table")) return table();
  if (is(mode, "many")) return many();
  if (is(mode, "wide")) return wide();
  if (is(mode, "threads")) return threads();
  if (is(mode, "handler")) return handler();
  if (is(mode, "vfork")) return from_vfork();
  if (is(mode, "grandchild")) return grandchild();
  if (is(mode, "nested")) return nested();
  if (is(mode, "eagain")) return eagain();
  if (is(mode, "connection")) return child_sends();
  if (is(mode, "respawn")) {
    const int code = submit();
    return code != 0 ? code : respawns.load() == 1 ? submit() : 20;
  }
  return 97;
}

}  // namespace

int main(int argc, char** argv) {
  const char* mode = argc > 1 ? argv[1] : "submit";
  long forks = 1;
  for (int i = 2; i < argc; i++) sscanf(argv[i], "forks=%ld", &forks);
  // Only a machine with AVX can be asked for this.
  if (is(mode, "wide") && !__builtin_cpu_supports("avx")) mode = "respawn";
  const bool registers = is(mode, "respawn") || is(mode, "wide");
  if (registers) {
    forkmend_callbacks callbacks{};
    callbacks.size = sizeof callbacks;
    // Calls functions that the profile names, in this thread and in the new ones, and waits for
    // them.
    callbacks.respawn = [](void*) {
      respawns++;
      if (__builtin_cpu_supports("avx")) clear_vectors();
      const int error = spin_start(kThreads);
      if (error == 0) adopt_all();
      return error;
    };
    runtime = forkmend_register("spin-api", &callbacks, nullptr);
  }
  if (spin_start(kThreads) != 0) set_up_failed("spin_start");
  if (registers) adopt_all();
  SpinJob job;
  spin_submit(&job);
  spin_wait(&job);
  if (is(mode, "connection")) connect_to_self();
  for (long i = 0; i < forks; i++) {
    int code = reap(spawn([&] { return child(mode); }));
    if (code == 0 && is(mode, "connection")) code = parent_sends();
    if (code != 0) {
      fprintf(stderr, "fork %ld of %ld: %d\n", i + 1, forks, code);
      return code;
    }
  }
  // The parent's own is as it was.
  SpinJob after;
  spin_submit(&after);
  spin_wait(&after);
  return 0;
}
