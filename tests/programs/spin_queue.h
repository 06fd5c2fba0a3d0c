// A queue that wakes nobody: its threads look into it every 200 us, and who waits for a job sleeps
// in a system call of the library's own. No preload sees work being handed over.
#pragma once

#include <atomic>

struct SpinJob {
  void (*run)(SpinJob*) = nullptr;
  SpinJob* next = nullptr;
  std::atomic<int> done{0};
};

extern "C" {
// Starts threads of the library, and returns when each has run.
int spin_start(int threads);
// The three hand a job over, and return what tells whether their arguments arrived.
void spin_submit(SpinJob* job);
long double spin_submit_many(SpinJob* job, int count, ...);  // the sum of `count` longs and doubles
// `wide` doubles at a time, in one vector register.
typedef double SpinWide __attribute__((vector_size(32)));
__attribute__((target("avx"))) SpinWide spin_submit_wide(SpinJob* job, SpinWide a, SpinWide b);
// Hands nothing over.
void spin_touch();
void spin_wait(SpinJob* job);
// Connects to a port of this machine: the socket, or -1.
int spin_connect(unsigned short port);
}
