// The library of `by_signal`; see inline_pool.h.
#include "tests/programs/inline_pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <climits>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "tests/programs/raw_syscall.h"

namespace {

std::atomic<int> locked{0}, handed_over{0}, running{0}, mistakes{0};
InlineJob *first = nullptr, *last = nullptr;  // under `locked`
int events = -1;                              // its address stands in the set, as in Go's
int set = -1;
std::atomic<int> poked{0}, seen{0};
thread_local int id = -1;

template <class T>
long arg(T* pointer) {
  return reinterpret_cast<long>(pointer);
}
void wait(std::atomic<int>& word, int value) {
  raw_syscall(SYS_futex, arg(&word), FUTEX_WAIT_PRIVATE, value);
}
void wake(std::atomic<int>& word, int count) {
  raw_syscall(SYS_futex, arg(&word), FUTEX_WAKE_PRIVATE, count);
}

// A thread may be stopped while it has this lock: in a child it goes on, and unlocks it.
struct Locked {
  Locked() {
    while (locked.exchange(1) != 0) raw_syscall(SYS_sched_yield, 0);
  }
  ~Locked() { locked.store(0); }
};

InlineJob* take() {
  const Locked guard;
  InlineJob* job = first;
  if (job != nullptr) first = job->next;
  return job;
}

// Keeps eight numbers in vector registers for some 50 us.
double compute() {
  double a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8;
  for (int i = 0; i < 20'000; i++) {
    a += 0.5, b += a * 0.25, c += 1.5, d += c * 0.125, e += 2.5, f += e, g += 3.5, h += g;
    asm volatile("" : "+x"(a), "+x"(b), "+x"(c), "+x"(d), "+x"(e), "+x"(f), "+x"(g), "+x"(h));
  }
  return a + b + c + d + e + f + g + h;
}

void allocate() {
  void* blocks[64];
  for (int i = 0; i < 64; i++) {
    blocks[i] = malloc(static_cast<size_t>(64 + 97 * i));
    memset(blocks[i], i, 64);
  }
  for (void* block : blocks) free(block);
}

// In libc's code all the time, and in no call that could be interposed.
void fill() {
  constexpr std::size_t kSize = std::size_t{64} << 20;
  char* memory = static_cast<char*>(malloc(kSize));
  for (int i = 0; i < 100; i++) {
    memset(memory, i, kSize);
    asm volatile("" : : "r"(memory) : "memory");
  }
  free(memory);
}

void perform(InlineWork work) {
  const timespec pause{0, 1'000'000};
  switch (work) {
    case InlineWork::compute: {
      static const double expected = compute();
      if (compute() != expected) mistakes++;
      break;
    }
    case InlineWork::allocate:
      allocate();
      break;
    case InlineWork::sleep:
      nanosleep(&pause, nullptr);
      break;
    case InlineWork::fill:
      fill();
      break;
  }
}

void own_signals() {
  if (id % 2 == 0) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
  }
  if (id % 3 == 0) {
    stack_t stack{};
    stack.ss_size = 65536;
    stack.ss_sp = malloc(stack.ss_size);
    sigaltstack(&stack, nullptr);
  }
}

void* work(void* number) {
  id = static_cast<int>(reinterpret_cast<std::intptr_t>(number));
  const int own = id;
  own_signals();
  running++;
  for (;;) {
    const int before = handed_over.load();
    InlineJob* job = take();
    if (job == nullptr) {
      wait(handed_over, before);
      continue;
    }
    job->begun.store(1);
    perform(job->work);
    if (id != own) mistakes++;
    if (job->again) {
      inline_submit(job);
    } else {
      job->done.store(1);
      wake(job->done, 1);
    }
  }
}

void* watch(void*) {
  running++;
  for (;;) {
    epoll_event event{};
    const long n = raw_syscall(SYS_epoll_wait, set, arg(&event), 1, -1);
    if (n <= 0) continue;
    if (event.data.ptr != &events) mistakes++;
    std::uint64_t count = 0;
    raw_syscall(SYS_read, events, arg(&count), sizeof count);
    seen.store(poked.load());  // an event too many is no harm, as with Go's
    wake(seen, INT_MAX);
  }
}

}  // namespace

int inline_start(int threads) {
  events = static_cast<int>(raw_syscall(SYS_eventfd2, 0, 0));
  set = static_cast<int>(raw_syscall(SYS_epoll_create1, 0));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = &events;
  if (raw_syscall(SYS_epoll_ctl, set, EPOLL_CTL_ADD, events, arg(&event)) != 0) return 1;
  for (int i = 0; i <= threads; i++) {
    pthread_t thread;
    void* number = reinterpret_cast<void*>(static_cast<std::intptr_t>(i));
    if (const int error = pthread_create(&thread, nullptr, i < threads ? work : watch, number))
      return error;
    pthread_detach(thread);
  }
  const timespec pause{0, 200'000};
  while (running.load() <= threads) nanosleep(&pause, nullptr);
  return 0;
}

void inline_submit(InlineJob* job) {
  {
    const Locked guard;
    job->next = nullptr;
    if (first != nullptr) {
      last->next = job;
    } else {
      first = job;
    }
    last = job;
  }
  handed_over++;
  wake(handed_over, 1);
}

void inline_wait(InlineJob* job) {
  while (job->done.load() == 0) wait(job->done, 0);
}

void inline_poke() {
  const int wanted = poked.fetch_add(1) + 1;
  const std::uint64_t one = 1;
  raw_syscall(SYS_write, events, arg(&one), sizeof one);
  for (int now; (now = seen.load()) < wanted;) wait(seen, now);
}

int inline_fork() {
  const int pid = fork();
  asm volatile("" : : "r"(pid));  // no jump: the call is this library's
  return pid;
}

int inline_mistakes() { return mistakes.load(); }
