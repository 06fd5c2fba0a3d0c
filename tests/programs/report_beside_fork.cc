// Threads report while another one forks, at every moment of it: each child reports too.
//
//   report_beside_fork FORKS      with FORKMEND_ORPHANS=reset: each lock that is opened is a report
//
// The program is the child of a process whose threads it lost, with their locks. Two of its threads
// take one such lock after the other; meanwhile the main thread forks FORKS times, and each child
// takes one as well. A child that waits for a lock of the shim's is killed at its deadline.
// Storms are held back by who held the lock, 256 of them are counted: so many are used up first.
#include <array>
#include <atomic>
#include <thread>
#include <utility>

#include "tests/programs/victim.h"

namespace {

constexpr int kCounted = 256;
constexpr int kLocks = 4000;
pthread_mutex_t counted[kCounted];
pthread_mutex_t locks[kLocks];
victim::Event held;
std::atomic<int> next{0};
std::atomic<bool> done{false};

// A start routine each: what is counted is where a lost thread began.
template <int Index>
void* hold_one(void*) {
  pthread_mutex_lock(&counted[Index]);
  held.raise();
  asm volatile("" : : "i"(Index));  // no two are merged into one
  victim::sleep_for_ever();
}
void* hold_all(void*) {
  for (pthread_mutex_t& m : locks) pthread_mutex_lock(&m);
  held.raise();
  victim::sleep_for_ever();
}

template <std::size_t... Index>
constexpr auto all(std::index_sequence<Index...>) {
  return std::array<void* (*)(void*), sizeof...(Index)>{hold_one<static_cast<int>(Index)>...};
}
constexpr auto kHolders = all(std::make_index_sequence<kCounted>());

void start(void* (*body)(void*)) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 * 1024);
  pthread_t made;
  if (pthread_create(&made, &attributes, body, nullptr) != 0) victim::set_up_failed("create");
  held.wait();
}

void take(pthread_mutex_t& lock) {
  if (pthread_mutex_lock(&lock) != 0) _exit(victim::kSetUpFailed);
  pthread_mutex_unlock(&lock);
}

int family(int forks) {
  for (pthread_mutex_t& lock : counted) take(lock);
  const auto report = [] {
    while (!done.load()) {
      const int mine = next.fetch_add(1);
      if (mine >= kLocks) return;
      take(locks[mine]);
    }
  };
  std::thread one(report), other(report);
  int reported = 0, hung = 0;
  while (reported + hung < forks && hung < 3 && next.load() < kLocks - 2) {
    const pid_t child = victim::spawn([] {
      take(locks[kLocks - 1]);
      return 7;
    });
    const int code = victim::reap(child, 5'000);
    if (code != 7 && code != victim::kHung) return code == 0 ? 1 : code;
    (code == 7 ? reported : hung)++;
  }
  done.store(true);
  one.join();
  other.join();
  victim::step("reported", reported);
  victim::step("hung", hung);
  victim::step("beside", next.load());
  return hung == 0 ? 0 : victim::kHung;
}

}  // namespace

int main(int, char** arguments) {
  const int forks = atoi(arguments[1]);
  for (pthread_mutex_t& lock : counted) pthread_mutex_init(&lock, nullptr);
  for (pthread_mutex_t& lock : locks) pthread_mutex_init(&lock, nullptr);
  for (const auto holder : kHolders) start(holder);
  start(hold_all);
  const pid_t child = victim::spawn([&] { return family(forks); });
  _exit(victim::reap(child, 60'000));
}
