// The rows of the benchmark, one a process: prints the median of one row, in nanoseconds, and ends.
// scripts/bench starts it, pins it to a CPU, chooses what is preloaded into it, and repeats it.
//
//   rows ROW                                a row measured in this process: see `rows` at the end
//   rows spawn PRELOAD SAMPLES PROGRAM ...  from posix_spawn of PROGRAM to the end of waitpid
//   rows exit PRELOAD SAMPLES PROGRAM ...   from the timestamp PROGRAM prints to the end of waitpid
//   rows exiting THREADS                    a PROGRAM for `exit`: idle threads, timestamp, exit(0)
//   rows piping                             a PROGRAM for `spawn`: its only pipe, the end
//
// How many samples a row takes is chosen so that a row lasts a few tens of milliseconds: rounds
// that short keep the arms of a comparison close together in time, which is what makes a few
// percent visible on a shared machine.
#include "idle_threads.h"
#include "include/forkmend/forkmend.h"
#include "measure.h"
#include "spawning.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <vector>

namespace bench {
namespace {

// Locks

// A cache line of its own, so that no neighbour's stores are measured.
alignas(64) pthread_mutex_t lone_mutex = PTHREAD_MUTEX_INITIALIZER;

double lock_and_unlock(int pairs) {
  return median_of(401, [pairs] {
    return time_of(pairs, [] {
      pthread_mutex_lock(&lone_mutex);
      pthread_mutex_unlock(&lone_mutex);
    });
  });
}

double lock_one_thread() { return lock_and_unlock(20'000); }

double lock_two_threads() {
  IdleThreads second(1);
  return lock_and_unlock(5'000);
}

// In a thread of a registered runtime: with the shim there is a gate to pass, and a list of what is
// held.
double lock_registered() {
  forkmend_runtime* runtime = forkmend_register("bench", nullptr, nullptr);
  double median = 0;
  std::thread([&median, runtime] {
    forkmend_adopt_thread(runtime);
    median = lock_and_unlock(5'000);
  }).join();
  return median;
}

// Ping-pong: two threads take turns; the figure is one round trip.

class CondCourt {
 public:
  void hit(int player) {
    pthread_mutex_lock(&mutex_);
    while (turn_ != player) pthread_cond_wait(&changed_[player], &mutex_);
    turn_ = 1 - player;
    pthread_cond_signal(&changed_[turn_]);
    pthread_mutex_unlock(&mutex_);
  }

 private:
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t changed_[2] = {PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER};
  int turn_ = 0;
};

class SemaphoreCourt {
 public:
  SemaphoreCourt() {
    sem_init(&turn_[0], 0, 1);
    sem_init(&turn_[1], 0, 0);
  }
  void hit(int player) {
    sem_wait(&turn_[player]);
    sem_post(&turn_[1 - player]);
  }

 private:
  sem_t turn_[2];
};

template <class Court>
double ping_pong(int round_trips) {
  constexpr int samples = 61;
  Court court;
  std::thread partner([&court, round_trips] {
    for (int i = 0; i < samples * round_trips; ++i) court.hit(1);
  });
  const double median = median_of(
      samples, [&court, round_trips] { return time_of(round_trips, [&court] { court.hit(0); }); });
  partner.join();
  return median;
}

double cond_ping_pong() { return ping_pong<CondCourt>(150); }
double semaphore_ping_pong() { return ping_pong<SemaphoreCourt>(300); }

// Threads

double create_join() {
  return median_of(301, [] {
    return time_of(10, [] {
      pthread_t thread;
      if (pthread_create(
              &thread, nullptr, [](void* nothing) { return nothing; }, nullptr) != 0) {
        give_up("fails", "pthread_create");
      }
      pthread_join(thread, nullptr);
    });
  });
}

// Forks: `call` until fork returns in the parent, `total` until the child, which exits at once, is
// reaped.

struct ForkTimes {
  double call;
  double total;
};

// By address: a lazily bound call would look the symbol up in every child, and a preload that had
// done so before the fork would seem to make fork faster.
void (*volatile exit_child)(int) = _exit;

ForkTimes fork_once() {
  const double start = nanoseconds();
  const pid_t pid = fork();
  if (pid == 0) exit_child(0);
  const double returned = nanoseconds();
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
    give_up("the child did not exit with 0", "fork");
  return {returned - start, nanoseconds() - start};
}

double fork_call(int samples) {
  return median_of(samples, [] { return fork_once().call; });
}

double fork_alone() { return fork_call(201); }

double fork_100_threads() {
  IdleThreads idle(100);
  return fork_call(61);
}

double fork_1000_threads() {
  IdleThreads idle(1000);
  return fork_call(11);
}

double fork_10000_mutexes() {
  std::vector<pthread_mutex_t> mutexes(10'000);
  for (pthread_mutex_t& mutex : mutexes) {
    pthread_mutex_init(&mutex, nullptr);
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
  }
  std::vector<pthread_mutex_t*> held;
  for (std::size_t i = 0; i < mutexes.size(); i += mutexes.size() / 10) held.push_back(&mutexes[i]);

  IdleThreads holders(static_cast<int>(held.size()), held);
  return median_of(101, [] { return fork_once().total; });
}

// Ten threads of a registered runtime have used so many mutexes, and hold none, or one each. With
// held ones the shim needs FORKMEND_DRAIN_MS=0, or each fork waits for them in vain.
double fork_registered(std::size_t count, bool held) {
  constexpr std::size_t threads = 10;
  static std::vector<pthread_mutex_t> mutexes(count);
  static forkmend_runtime* const runtime = forkmend_register("bench", nullptr, nullptr);
  static std::atomic<std::size_t> arrived;
  static const bool keeps = held;
  for (pthread_mutex_t& mutex : mutexes) pthread_mutex_init(&mutex, nullptr);
  for (std::size_t i = 0; i < threads; i++) {
    std::thread([i] {
      forkmend_adopt_thread(runtime);
      for (std::size_t at = i; at < mutexes.size(); at += threads) {
        pthread_mutex_lock(&mutexes[at]);
        if (!keeps || at != i) pthread_mutex_unlock(&mutexes[at]);
      }
      arrived++;
      sem_t never;
      sem_init(&never, 0, 0);
      while (sem_wait(&never) != 0) {
      }
    }).detach();
  }
  while (arrived < threads) usleep(100);
  usleep(2000);
  return median_of(101, [] { return fork_once().total; });
}

double fork_registered_1000() { return fork_registered(1000, false); }
double fork_registered_10000() { return fork_registered(10'000, false); }
double fork_registered_held() { return fork_registered(10'000, true); }

double fork_256_mib() {
  constexpr std::size_t size = std::size_t{256} << 20;
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) give_up("fails", "mmap");
  // With huge pages there would be next to no page tables for fork to copy.
  madvise(memory, size, MADV_NOHUGEPAGE);
  for (std::size_t page = 0; page < size; page += 4096) static_cast<char*>(memory)[page] = 1;
  return fork_call(15);
}

// Descriptors: made and closed again.

double make_eventfd() {
  return median_of(301, [] { return time_of(100, [] { close(eventfd(0, EFD_CLOEXEC)); }); });
}

double make_pipe() {
  return median_of(301, [] {
    return time_of(50, [] {
      int ends[2];
      if (pipe(ends) != 0) give_up("fails", "pipe");
      close(ends[0]);
      close(ends[1]);
    });
  });
}

// To a listener of the same process; the backlog is taken from it, so that it never fills.
double make_connection() {
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;  // an address that the kernel chooses
  socklen_t size = sizeof address;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address.sun_family) != 0 ||
      listen(listener, 8) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    give_up("fails", "listen");
  return median_of(301, [&] {
    return time_of(20, [&] {
      const int client = socket(AF_UNIX, SOCK_STREAM, 0);
      if (connect(client, reinterpret_cast<sockaddr*>(&address), size) != 0)
        give_up("fails", "connect");
      close(accept(listener, nullptr, nullptr));
      close(client);
    });
  });
}

// Programs

double timed_program(double (Program::*time)(), char** arguments) {
  Program program(arguments + 2, arguments[0]);
  return median_of(std::atoi(arguments[1]), [&program, time] { return (program.*time)(); });
}

// What the first descriptor of a process costs is in the whole.
[[noreturn]] void exit_with_pipe() {
  int ends[2];
  _exit(pipe(ends));
}

[[noreturn]] void exit_with_threads(int count) {
  // Leaked: exit is to meet threads that still wait.
  [[maybe_unused]] static auto* idle = new IdleThreads(count);
  char text[64];
  const int length = std::snprintf(text, sizeof text, "%.0f\n", nanoseconds());
  std::exit(write(STDOUT_FILENO, text, static_cast<std::size_t>(length)) == length ? 0 : 1);
}

struct Row {
  std::string_view name;
  double (*median)();
};

constexpr Row rows[] = {
    {"lock-one-thread", lock_one_thread},
    {"lock-two-threads", lock_two_threads},
    {"lock-registered", lock_registered},
    {"cond-ping-pong", cond_ping_pong},
    {"semaphore-ping-pong", semaphore_ping_pong},
    {"create-join", create_join},
    {"fork-alone", fork_alone},
    {"fork-100-threads", fork_100_threads},
    {"fork-1000-threads", fork_1000_threads},
    {"fork-10000-mutexes", fork_10000_mutexes},
    {"fork-registered-1000", fork_registered_1000},
    {"fork-registered-10000", fork_registered_10000},
    {"fork-registered-held", fork_registered_held},
    {"fork-256-mib", fork_256_mib},
    {"eventfd", make_eventfd},
    {"pipe", make_pipe},
    {"connect", make_connection},
};

int run(int count, char** arguments) {
  const std::string_view command = count > 1 ? arguments[1] : "";
  if (command == "piping") exit_with_pipe();
  if (command == "exiting" && count == 3) exit_with_threads(std::atoi(arguments[2]));

  double median = -1;
  if (command == "spawn" && count > 4) median = timed_program(&Program::run_time, arguments + 2);
  if (command == "exit" && count > 4) median = timed_program(&Program::exit_time, arguments + 2);
  for (const Row& row : rows) {
    if (command == row.name) median = row.median();
  }
  if (median < 0) give_up("not a row; see the head of tests/bench/rows.cc", arguments[0]);
  std::printf("%.3f\n", median);
  return 0;
}

}  // namespace
}  // namespace bench

int main(int count, char** arguments) { return bench::run(count, arguments); }
