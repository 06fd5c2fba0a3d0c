// Where code may run, visible in the types: the compiler checks it.
//
// ChildEntry: proof that the caller is the fork protocol on entry to a child. A function that takes
// one promises: stores and raw system calls only; no malloc, no lock that others take, no stdio,
// no new thread, no unwinder; cost independent of the number of threads.
// Only forking/protocol.cc can make one, so nothing else can be called from there by mistake.
#pragma once

namespace forkmend {

namespace forking {
class Protocol;
}

class ChildEntry {
 public:
  ChildEntry(const ChildEntry&) = delete;
  ChildEntry& operator=(const ChildEntry&) = delete;

 private:
  friend class forking::Protocol;
  friend class ChildEntryForTests;
  ChildEntry() = default;
};

}  // namespace forkmend
