// A profile: how a runtime is recognised and what is done for it.
//
// Promises: plain data of fixed size, so that it can be embedded at build time, kept in the shared
// object without an allocator, and handed over by the configuration reader (libforkmend-config.so)
// across a C boundary.
// Does not: parse (profile_file.h), match (configuration.h), or know of threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "shim/base/policy.h"

namespace forkmend {

// Limits of one profile. A profile file that exceeds one is refused with the line and the limit.
// All Python threads that no other profile names: they begin again when the child puts something
// where they take from, and by nothing else. Looked at last, whatever stands before it.
inline constexpr const char* kPythonByEvidence = "python:*";

inline constexpr std::size_t kProfileNameSize = 64;     // "python:" and a dotted module name
inline constexpr std::size_t kProfilePatterns = 8;      // file-name patterns of one package
inline constexpr std::size_t kProfilePatternSize = 96;  // longest wheel name measured is 61
inline constexpr std::size_t kProfilePythonNames = 4;   // methods or attributes of one class
inline constexpr std::size_t kProfileSymbols = 8;       // functions by which one library takes work
inline constexpr std::size_t kProfileSymbolSize = 160;  // a mangled member with four parameters
inline constexpr int kFirstFreeSignal = 34;             // real-time signals below are libc's
inline constexpr int kLastFreeSignal = 60;              // the bridge into CPython has 61
inline constexpr std::size_t kProfileMeasuredSize = 128;  // "0.4.2, 0.5.0" and the like
inline constexpr std::size_t kProfileNoteSize = 256;      // one sentence for the report

struct Profile {
  char name[kProfileNameSize];
  char dso[kProfilePatterns][kProfilePatternSize];     // glob on the file name of the creating DSO
  char thread[kProfilePatterns][kProfilePatternSize];  // glob on the thread's name
  char python[kProfilePatterns][kProfilePatternSize];  // glob on the module of a Python thread
  char symbol[kProfilePatterns][kProfilePatternSize];  // exported by the creating DSO, exactly
  // Methods that hand work to it by other means than a queue, and attributes that hold work.
  char python_enqueue[kProfilePythonNames][kProfilePatternSize];
  char python_pending[kProfilePythonNames][kProfilePatternSize];
  // Functions that hand work to it without a wake-up that can be seen, and glob on the file name
  // of the library that defines them; none: `dso` (reviving/declared.h).
  char enqueue_symbol[kProfileSymbols][kProfileSymbolSize];
  char enqueue_dso[kProfilePatterns][kProfilePatternSize];
  Policy policy;
  // Settle: before the gate closes, fork waits until every thread of the runtime waits of its own
  // accord. For runtimes that are half shut down when fork is called: a gate would hold such a
  // thread in the middle of its shutdown, and the child would inherit the half.
  std::uint8_t settle;
  // Asks first: before its threads enter the interpreter they ask whether it runs, and panic when
  // it does not (pyo3 from 0.26 on). While it finalises such a thread is parked when it asks.
  std::uint8_t asks_first;
  // Callers: a fork by CPython waits until no other Python thread is inside of it
  // (python/callers.h).
  std::uint8_t callers;
  // How long a fork may wait for it while it computes, in milliseconds, where its policy resumes
  // and FORKMEND_DRAIN_MS is not set; 0: as for all. Longer: its threads are lost in the child when
  // it misses the fork.
  std::uint32_t drain_ms;
  // Where its policy resumes: its threads wait in system calls of their own, and are parked at a
  // fork by this signal (reviving/by_signal.h); 0: they are not.
  std::uint8_t signal;
  // In force only where FORKMEND_PROFILES names it: it matches more than one library.
  std::uint8_t opt_in;
  char measured[kProfileMeasuredSize];  // package versions the profile was measured with
  char fix_now[kProfileNoteSize];       // what switching its cure on again does, as tested
  char fix_code[kProfileNoteSize];      // tested change of the program
  char reason[kProfileNoteSize];        // why its policy is not a cure
};

}  // namespace forkmend
