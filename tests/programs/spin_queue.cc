// The library of `declared`; see spin_queue.h.
#include "tests/programs/spin_queue.h"

#include <arpa/inet.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <time.h>

#include "tests/programs/raw_syscall.h"

namespace {

std::atomic<SpinJob*> newest{nullptr};
std::atomic<int> running{0};

long futex(std::atomic<int>* word, long operation, long value) {
  return raw_syscall(SYS_futex, reinterpret_cast<long>(word), operation, value);
}

void push(SpinJob* job) {
  job->next = newest.load();
  while (!newest.compare_exchange_weak(job->next, job)) {
  }
}

void* work(void*) {
  running++;
  spin_touch();  // a call of its own library's through the procedure linkage table
  for (;;) {
    for (SpinJob* job = newest.exchange(nullptr); job != nullptr;) {
      SpinJob* next = job->next;
      if (job->run != nullptr) job->run(job);
      job->done.store(1);
      futex(&job->done, FUTEX_WAKE_PRIVATE, 1);
      job = next;
    }
    const timespec pause{0, 200'000};
    nanosleep(&pause, nullptr);
  }
}

}  // namespace

int spin_start(int threads) {
  const int before = running.load();
  for (int i = 0; i < threads; i++) {
    pthread_t thread;
    if (const int error = pthread_create(&thread, nullptr, work, nullptr)) return error;
  }
  const timespec pause{0, 200'000};
  while (running.load() < before + threads) nanosleep(&pause, nullptr);
  return 0;
}

void spin_submit(SpinJob* job) { push(job); }

long double spin_submit_many(SpinJob* job, int count, ...) {
  va_list arguments;
  va_start(arguments, count);
  long double sum = 0;
  for (int i = 0; i < count; i++) {
    sum += static_cast<long double>(va_arg(arguments, long));
    sum += va_arg(arguments, double);
  }
  va_end(arguments);
  push(job);
  return sum;
}

SpinWide spin_submit_wide(SpinJob* job, SpinWide a, SpinWide b) {
  push(job);
  return a + b;
}

void spin_touch() { asm volatile(""); }

void spin_wait(SpinJob* job) {
  while (job->done.load() == 0) futex(&job->done, FUTEX_WAIT_PRIVATE, 0);
}

int spin_connect(unsigned short port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  return connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? fd : -1;
}
