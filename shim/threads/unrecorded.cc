#include "shim/threads/unrecorded.h"

#include "shim/threads/thread.h"

namespace forkmend::threads {
namespace {

constexpr int kMostAsked = 8;  // 40 µs of a fork that costs 60 µs or more with as many threads

}  // namespace

void ask_kernel() {
  int asked = 0;
  Thread* self = threads::self();
  for_each_live([&](Thread& t) {
    if (&t == self || t.wait.call.load(std::memory_order_relaxed) != WaitCall::none) return true;
    const int tid = t.tid.load(std::memory_order_relaxed);
    if (tid == 0) return true;  // it has not begun
    t.activity = kernel_activity(tid);
    return ++asked < kMostAsked;
  });
}

}  // namespace forkmend::threads
