// Eight threads fork at once, again and again, while four others have threads come and go.
//
//   fork_crowd MILLISECONDS
#include <atomic>
#include <thread>
#include <vector>

#include "tests/programs/ordinary.h"

namespace {

constexpr int kForkers = 8, kMakers = 4;
std::atomic<bool> over{false};
std::atomic<int> failed{0};
std::atomic<long> forks{0}, threads{0};

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

void fail(int code) {
  int none = 0;
  failed.compare_exchange_strong(none, code);
  over = true;
}

// Threads of every way to end: joined, detached, cancelled, left by pthread_exit.
void* lock_once(void*) {
  pthread_mutex_lock(&mutex);
  pthread_mutex_unlock(&mutex);
  return nullptr;
}
void* leave(void*) { pthread_exit(&mutex); }

void make_threads() {
  for (int round = 0; !over; round++) {
    pthread_t thread;
    const int kind = round % 4;
    auto* start = kind == 2 ? ordinary::sleep_until_cancelled : kind == 3 ? leave : lock_once;
    if (pthread_create(&thread, nullptr, start, nullptr) != 0) return fail(1);
    threads++;
    if (kind == 1) {
      if (pthread_detach(thread) != 0) return fail(2);
      continue;
    }
    if (kind == 2 && pthread_cancel(thread) != 0) return fail(3);
    void* result = nullptr;
    void* const expected = kind == 2   ? PTHREAD_CANCELED
                           : kind == 3 ? static_cast<void*>(&mutex)
                                       : nullptr;
    if (pthread_join(thread, &result) != 0 || result != expected) return fail(4);
  }
}

void fork_children() {
  while (!over) {
    const pid_t child = fork();
    if (child < 0) return fail(10);
    if (child == 0) {
      victim::begin_child();
      _exit(forks % 8 == 0 ? ordinary::serve_all(2, nullptr) : 0);
    }
    const int code = victim::reap(child);
    if (code != 0) return fail(20 + code);
    forks++;
  }
}

}  // namespace

int main(int, char** arguments) {
  std::vector<std::thread> crowd;
  for (int i = 0; i < kForkers; i++) crowd.emplace_back(fork_children);
  for (int i = 0; i < kMakers; i++) crowd.emplace_back(make_threads);
  const long until = victim::now_ns() + atol(arguments[1]) * 1'000'000;
  while (!over && victim::now_ns() < until) usleep(10'000);
  over = true;
  for (std::thread& one : crowd) one.join();
  victim::step("forks", forks);
  victim::step("threads", threads);
  _exit(failed);
}
