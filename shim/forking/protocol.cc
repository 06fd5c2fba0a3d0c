#include "shim/forking/protocol.h"

#include <pthread.h>
#include <sys/mman.h>

#include "shim/base/armed.h"
#include "shim/base/real.h"
#include "shim/base/spinlock.h"
#include "shim/base/syscall.h"
#include "shim/base/token.h"
#include "shim/forking/gate.h"
#include "shim/forking/safepoint.h"
#include "shim/forking/standstill.h"
#include "shim/locks/adopted.h"
#include "shim/locks/held.h"
#include "shim/locks/libc_calls.h"
#include "shim/locks/loader.h"
#include "shim/locks/lost_waiters.h"
#include "shim/locks/random.h"
#include "shim/python/embedder.h"
#include "shim/reporting/modules.h"
#include "shim/reviving/callback.h"
#include "shim/reviving/declared.h"
#include "shim/reviving/forkall.h"
#include "shim/reviving/quiesce.h"
#include "shim/reviving/resume.h"
#include "shim/runtimes/runtime.h"
#include "shim/threads/create.h"
#include "shim/threads/lost.h"
#include "shim/threads/stacks.h"
#include "shim/threads/thread.h"
#include "shim/threads/unrecorded.h"
#include "shim/waiting/cond_queue.h"
#include "shim/waiting/handover.h"

extern "C" void* __dso_handle __attribute__((visibility("hidden")));

namespace forkmend::forking {
namespace {

FORKMEND_SAME_PAGE Origin own;  // of this process
// Where the interpreter is that forks next, and the thread it is in, by the address of its pointer.
FORKMEND_SAME_PAGE Place place;
FORKMEND_SAME_PAGE std::atomic<const void*> place_of{nullptr};
// Whose books these are: tells the child from the parent in a shared handler.
FORKMEND_SAME_PAGE int process_id;

FORKMEND_TLS Fork* current;  // the fork that this thread is in, for libc's handlers
FORKMEND_TLS bool standing;  // libc's fork is under way in this thread: standstill, stacks

// A fork of a process with one thread has nobody to wait for and nothing to lose.
bool has_threads() { return threads::live().load(std::memory_order_relaxed) > 1; }
bool has_lost_threads() { return threads::lost.load(std::memory_order_relaxed) > 0; }

void note_origin(Fork& fork, const void* caller, int parent_pid) {
  fork.generation = threads::generation.load(std::memory_order_relaxed);
  fork.monotonic = now();
  fork.wall = now(CLOCK_REALTIME);
  fork.parent_pid = parent_pid;
  fork.caller = caller;
}

void announce(Fork& fork) {
  fork.outer = current;
  fork.announced = true;
  current = &fork;
}

// Gives back what the fork took outside of its frame.
void end(Fork& fork) {
  if (fork.announced) current = fork.outer;
  fork.announced = false;
  fork.held.clear();
  if (fork.on_own_page) sys::call(SYS_munmap, sys::arg(&fork), sizeof fork);
}

// A frame that was left by a jump, out of a handler of somebody else's, lies below this one.
bool is_left_behind(const Fork& fork) {
  constexpr std::uintptr_t kLargestStack = std::uintptr_t{8} << 20;
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  return here - reinterpret_cast<std::uintptr_t>(&fork) < kLargestStack;
}

// Of a fork that libc started by itself; null if there is no memory.
Fork* fork_on_own_page() {
  const long memory = sys::call(SYS_mmap, 0, sizeof(Fork), PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory < 0 && memory > -4096) return nullptr;
  Fork* fork = reinterpret_cast<Fork*>(memory);  // all its bytes are zero, as in a fresh one
  fork->on_own_page = true;
  return fork;
}

void set_origin(const Fork& fork) {
  own.monotonic = fork.monotonic;
  own.wall = fork.wall;
  own.parent_pid = fork.parent_pid;
  own.caller = fork.caller;
  const bool known = place_of.load(std::memory_order_relaxed) == &current;
  if (known) static_cast<Place&>(own) = place;
  if (!known) own.python_file[0] = '\0';
  if (known) place_of.store(nullptr, std::memory_order_relaxed);
}

}  // namespace

// The only maker of ChildEntry. The order of the three lists below is the protocol.
class Protocol {
 public:
  // In CPython its hook comes first, with the GIL released: then before() finds this done.
  static void come_to_rest() {
    reviving::call_before_fork();  // runtimes' own preparation, while everything still runs
    reviving::quiesce();           // before the gate: pools are joined
    modules::refresh();
    safepoint::reach();
  }

  static void before(Fork& fork) {
    if (!safepoint::held_by_this_thread()) {
      reviving::call_before_fork();
      reviving::quiesce();
    }
    if (!has_threads()) return;
    modules::refresh();            // the child may not: dl_iterate_phdr can hang there
    declared::before_fork();       // of objects loaded since
    safepoint::reach();            // the gate is closed from here on
    threads::reap();               // who has ended is not lost
    locks::collect(fork.held);     // what lost threads will hold: nothing moves any more
    libc_calls::close_and_wait();  // last: threads at this door may hold anything
    threads::ask_kernel();         // what threads without a wait record are doing
  }

  // For a child without lost threads, whose entry was put off.
  static ChildEntry late_entry() { return ChildEntry(); }

  static void parent() {
    safepoint::release();  // first of all: threads stand at the gate
    libc_calls::after_fork_parent();
  }

  static void child(const Fork& fork) {
    const ChildEntry entry;
    standstill::after_fork_child(entry);
    gate::after_fork_child(entry);  // this thread may have closed it
    safepoint::after_fork_child(entry);
    if (!has_threads() && !has_lost_threads()) {
      // Nothing is lost. The books are brought up to date when they are needed (catch_up): most
      // such children exec or exit, and a store would cost each a page fault.
      if (child_unannounced()) restore_armed_page(entry);
      threads::stacks::after_fork_child(entry);  // one may have been on its way out
      return;
    }
    const int pid = sys::getpid();
    process_id = pid;
    set_origin(fork);
    spin::open_all(entry);      // before anything here could want one
    restore_armed_page(entry);  // interposers look at it first
    // While records still say who was the owner.
    locks::after_fork_child(entry,
                            fork.generation == threads::generation.load() ? &fork.held : nullptr);
    loader::after_fork_child(entry, pid);
    threads::after_fork_child(entry, pid);
    threads::lost_handles_after_fork_child(entry);
    runtimes::after_fork_child(entry);
    resume::after_fork_child(entry);
    threads::stacks::after_fork_child(entry);
    forkall::after_fork_child(entry);
    locks::adopted_after_fork_child(entry);
    libc_calls::after_fork_child(entry);
    random_lock::after_fork_child(entry);
    locks::lost_waiters_after_fork_child(entry);
    cond_queue::after_fork_child(entry);
    handover::after_fork_child(entry);
    declared::after_fork_child(entry);
    modules::after_fork_child(entry);
    set_busy(Busy::lost_threads, threads::lost.load(std::memory_order_relaxed) > 0);
    set_busy(Busy::registered_threads, runtimes::registered_threads.load() > 0);
    reviving::call_child(entry);  // last: the runtimes' own code
  }
};

namespace {

// libc's handlers. The interposed call came first in nearly every fork; then these find their work
// done. glibc 2.31 holds its handler lock through all of them: no waiting here.
void prepare() {
  if (current != nullptr && is_left_behind(*current)) current = nullptr;
  if (current != nullptr || (!has_threads() && !has_lost_threads())) return;
  Fork* fork = fork_on_own_page();
  if (fork == nullptr) return;
  announce(*fork);
  note_origin(*fork, nullptr, sys::getpid());
  if (!has_threads()) return;
  safepoint::close_only();
  locks::collect(fork->held);
  threads::ask_kernel();
}
void end_own_page() {
  if (current != nullptr && current->on_own_page) end(*current);
}
// Registered before anybody else's (interpose/atfork.cc), so that of all prepare handlers it runs
// last: whoever wakes from a wait during the others' stands still for none of them.
void on_prepare() {
  prepare();
  if (has_threads() || has_lost_threads()) {
    threads::stacks::before_fork();
    standstill::before_fork();
    standing = true;
  }
}
void on_parent() {
  if (standing) {
    standing = false;
    standstill::after_fork_parent();
    threads::stacks::after_fork_parent();
  }
  Protocol::parent();
  end_own_page();
}
// `fork` is null where nobody saw it come.
void enter_child(const Fork* fork, const void* caller = nullptr) {
  Fork unseen;
  if (fork == nullptr && (has_threads() || has_lost_threads()))
    note_origin(unseen, caller, sys::getppid());
  Protocol::child(fork != nullptr ? *fork : unseen);
}
void on_child() {
  standing = false;
  if (process_id != sys::getpid()) enter_child(current);
  end_own_page();
}

}  // namespace

// Asks for the process's id once: what it then writes down a fork wipes.
void catch_up() {
  if (armed_page.caught_up.load(std::memory_order_relaxed) != 0) return;
  const int pid = sys::getpid();
  if (wipes_on_fork.load(std::memory_order_relaxed))
    armed_page.caught_up.store(1, std::memory_order_relaxed);
  if (process_id == pid) return;
  const bool first = process_id == 0;
  process_id = pid;
  if (first) return;
  const ChildEntry entry = Protocol::late_entry();
  threads::after_fork_child(entry, pid);
}

void before(Fork& fork, const void* caller) {
  catch_up();
  python::embedder::before();
  // Only where there is something to tell: a store costs the parent a page fault each fork.
  if (has_threads() || has_lost_threads()) {
    announce(fork);
    note_origin(fork, caller, sys::getpid());
  }
  Protocol::before(fork);
}
void come_to_rest() { Protocol::come_to_rest(); }

void after_parent(Fork& fork) {
  Protocol::parent();
  end(fork);
  python::embedder::after_parent();
}
void after_child(Fork& fork) {
  if (process_id != sys::getpid()) enter_child(&fork);
  end(fork);
  python::embedder::after_child();
  resume::revive_eager();
  forkall::fork_returned();
}
void after_daemon(Fork& fork) {
  after_child(fork);
  after_parent(fork);
}
void after_child_bare(const void* caller) { enter_child(nullptr, caller); }

void notice_child() {
  // A vfork child shares the page, so it is never here. Two threads cannot be: a new child has one.
  enter_child(nullptr);
}

void install_handlers() {
  static std::atomic<bool> done{false};
  if (!done.exchange(true))
    real().__register_atfork(on_prepare, on_parent, on_child, &__dso_handle);
}

bool is_this_process() { return process_id == sys::getpid(); }

const Origin& origin() { return own; }

Place& begin_place() {
  place_of.store(nullptr);
  return place;
}
void end_place() { place_of.store(&current); }
void forget_place() {
  if (place_of.load() == &current) place_of.store(nullptr);
}

}  // namespace forkmend::forking
