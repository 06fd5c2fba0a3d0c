// The proof of a lockup: whether a wait can still end.
//
// Promises: a verdict with its evidence, or none. Certain, after the grace: (a) the lock is held by
// a lost thread, or it was running the static initialiser; (b) the object is private, a lost thread
// owned it, was parked on it, or was the one that signalled it, and no live thread could end the
// wait. Likely, past the threshold: nothing live could end it, and this process has handed work to
// a lost runtime since the fork. Otherwise silence: a child that waits in Event.wait for SIGTERM is
// healthy. Live are other threads, other processes where memory is shared, and signal handlers.
// Does not: act, allocate or write; know processes that share all memory (clone with CLONE_VM).
#pragma once

#include "shim/base/text.h"
#include "shim/threads/thread.h"

namespace forkmend {

enum class Verdict : std::uint8_t { none, likely, certain };

inline constexpr int kMostEvidence = 6;

struct Judgement {
  Verdict verdict = Verdict::none;
  const char* cause = "";            // code of the deciding evidence
  const Thread* culprit = nullptr;   // the lost thread that would have ended the wait, if known
  const Runtime* runtime = nullptr;  // the lost runtime
  Text<96> python_module;            // of the lost Python thread, if that is what it was
  int count = 0;
  const char* code[kMostEvidence];
  Text<160> text[kMostEvidence];

  TextSpan& add(const char* evidence) {
    const int i = count < kMostEvidence ? count++ : kMostEvidence - 1;
    code[i] = evidence;
    text[i].clear();
    return text[i];
  }
};

// True if no other thread of this process could end a wait of `t`: all are known and wait for ever
// themselves.
bool nobody_else_could_end(const Thread& t);

// Judges the wait that `t`, the calling thread, has been in for `waited`.
void judge(Thread& t, Nanoseconds waited, Judgement& out);

}  // namespace forkmend
