// Stacks of the shim's own, for threads that can be resumed in a child.
//
// Promises: libc recycles and clears the stacks that it made itself when it forks; these it leaves
// alone, so that in the child a lost thread's stack and thread block are as they were. Size and
// guard are what the attributes say (and the pad). A stack is given back when its thread is gone
// and was joined or detached, as libc does, and cached as libc caches its own (stack_cache.h); a
// thread that is never joined keeps its own.
// Does not: give back the stack of a thread that a fork lost.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "shim/base/clock.h"
#include "shim/base/token.h"
#include "shim/reviving/context.h"

namespace forkmend {

struct Destructors;
struct Thread;

// The first bytes of what a pointer points to; nothing, if it is none.
struct Argument {
  static constexpr std::size_t kBytes = 16;  // what the least block of malloc's holds
  std::size_t size;
  unsigned char bytes[kBytes];
};

// What has to come together before a stack is given back.
inline constexpr std::uint8_t kGone = 1;   // its thread has ended, by the kernel
inline constexpr std::uint8_t kLoose = 2;  // joined or detached: nobody will ask for its result
// What a thread that nobody holds at the gate does with its stack (forking/standstill.h).
enum class Standing : std::uint8_t {
  no,       // it runs, or cannot go on from where it waits
  waiting,  // in a call that may block, its registers kept
  leaving,  // that call has ended; it stands still while a fork is under way
};

struct Stack {
  std::atomic<char*> base;  // lowest usable byte; null: the slot is free
  std::size_t size;
  std::size_t guard;               // bytes below it; of ours alone
  bool ours;                       // false: the program's, given with the attributes
  bool stands;                     // its thread stands still by itself: policy forkall
  Stack *next, *previous;          // in one list of stacks.cc
  Stack* next_same;                // in the table by addresses
  std::atomic<std::uint8_t> ends;  // kGone, kLoose: one word, and whoever sets the second releases
  std::atomic<Thread*> owner;      // its record, once there is one
  // For going on in a child.
  pthread_t handle;
  const void* frame;         // of the trampoline: a thread made anew must find itself there
  Context context;           // of the call that it is parked in
  std::atomic<bool> whole;   // and it can go on there: see gate.h
  std::uint64_t mask;        // signals it blocks
  Destructors* destructors;  // of its thread-local objects
  char* image;               // what lay outside of the stack, while it is made anew
  // For parking by a signal (reviving/by_signal.h).
  std::atomic<bool> asked;  // the signal was sent, and has not been answered
  Nanoseconds asked_at;
  bool in_handler;      // parked there, maybe on an alternate stack
  bool own_mask_calls;  // it changes its mask by system calls of its own: read it at each park
  // For going on by itself in a child (reviving/forkall.h).
  std::atomic<Standing> standing;
  std::atomic<std::uint32_t> missed;  // the last fork that found it running
  Stack* next_waiter;                 // on the same object
  bool has_fellow;                    // one with the same start routine went on
  bool put_off;                       // woken by a handler
  bool left_alone;                    // its library has made it, or what it waits for, anew
  // For beginning again in a child (policy rerun).
  bool again;         // it is being made anew for that
  Argument argument;  // what the start routine was given, as it was at its creation
};

namespace threads::stacks {

// The trampoline's frames take part of a stack again when the thread is made anew; the thread's
// own frames begin below this much. 32 KiB: measured on 2.31 to 2.43.
inline constexpr std::size_t kPad = std::size_t{32} << 10;

// The stack of the caller's own that the attributes (or null) name, and its size; null without one.
char* given(const pthread_attr_t* attributes, std::size_t& size);

// A stack for a thread with these attributes (null: the default), and the attributes to create it
// with: a copy of the caller's that must not be destroyed. Null if there is none to be had (said
// once) or the program's own stack is too small: the thread is then created as without.
Stack* take(const pthread_attr_t* attributes, pthread_attr_t& own);
// The thread could not be created.
void give_back(Stack* stack);

// In the thread itself, as it begins, with its handle known.
void begun(Stack& stack);
// In the thread itself, as it ends: its record is gone from here on, the stack is not. Pages below
// what is in use go back to the system, as libc does with stacks of its own.
void ending(Stack& stack);

// Around a fork, in libc's handlers, so that a child never finds the lists half changed.
void before_fork();
void after_fork_parent();
void after_fork_child(const ChildEntry&);

// Of a thread on a stack of the shim's own libc does not know the guard page: notes it in what
// pthread_getattr_np found out.
void tell_guard(pthread_t handle, pthread_attr_t* attributes);

// The kernel says that this thread is gone.
void thread_gone(Thread& t);
// True if this is the handle of the stack's thread, begun or not.
bool holds(const Stack& stack, pthread_t handle);
// It is told to end from inside a wait, by an unwinder that leaves no trace there: from now on it
// cannot go on in a child.
void will_unwind(pthread_t handle);
// It was joined or detached. Nothing for threads on stacks of libc's.
void joined(pthread_t handle);
void detached(pthread_t handle);

}  // namespace threads::stacks

namespace threads {
// Of the calling thread, whose stack it is: the signals it blocks.
void read_mask(Stack& s);
}  // namespace threads

}  // namespace forkmend
