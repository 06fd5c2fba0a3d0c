// Who a thread record stands for and what that thread is doing: one word.
//
// Promises: state, generation and serial are loaded and stored together. A decision is made from
// one Identity, never from two loads: between two the record may have been released, and given to
// another thread (a join of a thread that had just ended was taken for one of a lost thread, since
// the record was no longer in use, and so was not of this process either). What else a record says
// of a thread that lives is read between two loads of the word that name the same thread
// (threads::read_of). A lost thread's record does not change but for being brought back.
// Lock-free, async-signal-safe: a store keeps what a handler did to the rest of the word meanwhile
// (it may fork, which gives the record of the thread that goes on another generation).
#pragma once

#include <atomic>
#include <cstdint>

#include "shim/base/compiler.h"

namespace forkmend {

// What the safepoint sees of a thread. LEAVING is stored first and the gate is looked at after: a
// plain flag races.
enum class ThreadState : std::uint8_t {
  free,      // the record is unused
  starting,  // pthread_create was called, the thread does not run yet
  // Between that and `running`: threads/start.h.
  deciding,
  awaited,  // deciding, and the other one sleeps until that is done
  told,
  makes_way,
  running,
  parked,   // stopped at the gate, or blocked in a wait, holding nothing
  leaving,  // on its way out of a park
  exiting,  // the start routine returned; destructors of thread-local objects may still run
};

// Code of the program's own may have run in the thread.
constexpr bool has_begun(ThreadState state) { return state >= ThreadState::running; }

// What one load of a record's word says. Of the generation the low 24 bits are kept: two are only
// ever compared for being the same.
class Identity {
 public:
  static constexpr std::uint32_t kGenerations = 0xffffff;

  constexpr Identity(ThreadState state, std::uint32_t generation, std::uint32_t serial)
      : word_(static_cast<std::uint64_t>(serial) << 32 | (generation & kGenerations) << 8 |
              static_cast<std::uint8_t>(state)) {}

  constexpr ThreadState state() const { return static_cast<ThreadState>(word_ & 0xff); }
  constexpr std::uint32_t generation() const { return (word_ >> 8) & kGenerations; }
  constexpr std::uint32_t serial() const { return static_cast<std::uint32_t>(word_ >> 32); }
  constexpr bool in_use() const { return state() != ThreadState::free; }
  constexpr bool is_of(std::uint32_t generation_now) const {
    return generation() == (generation_now & kGenerations);
  }
  // Both in use, and of the same thread; it may do something else by now.
  constexpr bool is_same(Identity other) const {
    return in_use() && other.in_use() && word_ >> 8 == other.word_ >> 8;
  }
  constexpr Identity with(ThreadState state) const { return {state, generation(), serial()}; }

 private:
  friend class StateWord;
  explicit constexpr Identity(std::uint64_t word) : word_(word) {}
  std::uint64_t word_;
};

class StateWord {
 public:
  Identity identity(std::memory_order order = std::memory_order_seq_cst) const {
    return Identity(word_.load(order));
  }
  // Of a thread that is known to be the one meant: the calling one, or one that stands still.
  ThreadState load(std::memory_order order = std::memory_order_seq_cst) const {
    return identity(order).state();
  }
  FORKMEND_INLINE void store(ThreadState state,
                             std::memory_order order = std::memory_order_seq_cst) {
    exchange(state, order);
  }
  FORKMEND_INLINE Identity exchange(ThreadState state,
                                    std::memory_order order = std::memory_order_seq_cst) {
    std::uint64_t seen = word_.load(std::memory_order_relaxed);
    while (!word_.compare_exchange_weak(seen, Identity(seen).with(state).word_, order,
                                        std::memory_order_relaxed)) {
    }
    return Identity(seen);
  }
  // Only if the word still is `seen`, which then says what it is.
  bool change(Identity& seen, ThreadState state) {
    return word_.compare_exchange_strong(seen.word_, seen.with(state).word_);
  }
  // The record is another thread's, or the same one's in another process, from here on. By whoever
  // alone has the record.
  void become(Identity identity, std::memory_order order = std::memory_order_release) {
    word_.store(identity.word_, order);
  }

  // To wait for a change of the state: the half of the word that a futex can be, and its value.
  const std::atomic<std::uint32_t>* futex() const {
    static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
    return reinterpret_cast<const std::atomic<std::uint32_t>*>(&word_);
  }
  static std::uint32_t futex_value(Identity seen) { return static_cast<std::uint32_t>(seen.word_); }

 private:
  std::atomic<std::uint64_t> word_;
};

}  // namespace forkmend
