// A pool whose threads wait and wake each other in system calls of its own, as Go's runtime does,
// and are at work in its own code most of the time. See by_signal.cc.
#pragma once

#include <atomic>

enum class InlineWork { compute, allocate, sleep, fill };

struct InlineJob {
  InlineWork work = InlineWork::compute;
  bool again = false;  // handed over anew by the thread that did it
  InlineJob* next = nullptr;
  std::atomic<int> begun{0}, done{0};
};

extern "C" {
// Starts threads of the library, and one that waits for events in a set of its own. Every second
// one blocks all signals, every third has an alternate stack. Returns when each has run.
int inline_start(int threads);
void inline_submit(InlineJob* job);
void inline_wait(InlineJob* job);
// Sends an event to the thread that waits for such, and waits until it has come.
void inline_poke();
// fork(), called by the library.
int inline_fork();
// How often a thread found something else than it had left: a register, a thread-local variable,
// the descriptor that it watched.
int inline_mistakes();
}
