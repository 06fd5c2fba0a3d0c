// A stack of the shim's own, for what needs more than the caller may have.
//
// Programs wait on stacks of 16 KiB, most of them in use, on alternate signal stacks and on those
// of coroutines, whose bounds nobody tells. So nothing that needs more than kMostOnCallersStack is
// done on a stack of the program's: it is done here, on memory that is mapped for the moment and
// unmapped after it.
// Promises: raw system calls; no lock and nothing shared, so that threads do it side by side and a
// child finds nothing half changed (at most a mapping that it has no use for). Signals are held
// meanwhile, but for libc's and those of faults: a handler would run here, and one on an alternate
// stack that the caller is on would be put over the caller.
// Does not: run Python or other code that measures the stack it is on: see on_callers.
#pragma once

#include <cstddef>
#include <type_traits>

namespace forkmend::own_stack {

inline constexpr std::size_t kSize = std::size_t{1} << 20;  // the longest event is half of it
// What any path of the shim may use of a stack of the program's, in bytes; measured by the test
// stacks/*.
inline constexpr std::size_t kMostOnCallersStack = 2048;

// For what needs no more than this there is a spare stack, in turns, where no memory can be had.
inline constexpr std::size_t kSpareSize = std::size_t{64} << 10;

// Calls work(argument) there; where the thread is there already, at once. False if there is no
// memory: then it was not called. `large`: it needs more than the spare one. Not for the child
// path.
bool call(void (*work)(void*), void* argument, bool large);

// Calls work(argument) on the stack that the thread came from.
void call_on_callers(void (*work)(void*), void* argument);

// An event or a line: the shim's own code alone, at most kSpareSize.
template <class Work>
bool run(Work&& work) {
  using Plain = std::remove_reference_t<Work>;
  return call([](void* of) { (*static_cast<Plain*>(of))(); }, &work, false);
}
template <class Work>
bool run_large(Work&& work) {
  using Plain = std::remove_reference_t<Work>;
  return call([](void* of) { (*static_cast<Plain*>(of))(); }, &work, true);
}
template <class Work>
void run_on_callers(Work&& work) {
  using Plain = std::remove_reference_t<Work>;
  call_on_callers([](void* of) { (*static_cast<Plain*>(of))(); }, &work);
}

}  // namespace forkmend::own_stack
