#include "shim/forking/protocol.h"

#include <pthread.h>

#include "shim/base/armed.h"
#include "shim/base/syscall.h"
#include "shim/base/token.h"
#include "shim/forking/gate.h"
#include "shim/forking/safepoint.h"
#include "shim/locks/adopted.h"
#include "shim/locks/held.h"
#include "shim/locks/initialisers.h"
#include "shim/locks/loader.h"
#include "shim/locks/lost_waiters.h"
#include "shim/locks/orphan.h"
#include "shim/python/embedder.h"
#include "shim/reporting/modules.h"
#include "shim/reviving/callback.h"
#include "shim/reviving/declared.h"
#include "shim/reviving/quiesce.h"
#include "shim/reviving/resume.h"
#include "shim/runtimes/runtime.h"
#include "shim/threads/create.h"
#include "shim/threads/lost.h"
#include "shim/threads/thread.h"
#include "shim/threads/unrecorded.h"
#include "shim/waiting/handover.h"

namespace forkmend::forking {
namespace {

FORKMEND_SAME_PAGE Origin own;      // of this process
FORKMEND_SAME_PAGE Origin pending;  // of the next child
// Whose books these are: tells the child from the parent in a shared handler.
FORKMEND_SAME_PAGE int process_id;

FORKMEND_TLS bool announced;  // this thread's fork came through the interposed call

// A fork of a process with one thread has nobody to wait for and nothing to lose.
bool has_threads() { return threads::live().load(std::memory_order_relaxed) > 1; }
bool has_lost_threads() { return threads::lost.load(std::memory_order_relaxed) > 0; }

void note_origin(const void* caller) {
  pending.monotonic = now();
  pending.wall = now(CLOCK_REALTIME);
  pending.parent_pid = sys::getpid();
  pending.caller = caller;
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

  static void before(const void* caller) {
    if (!safepoint::held_by_this_thread()) {
      reviving::call_before_fork();
      reviving::quiesce();
    }
    if (has_threads() || has_lost_threads()) note_origin(caller);
    if (!has_threads()) return;
    modules::refresh();       // the child may not: dl_iterate_phdr can hang there
    declared::before_fork();  // of objects loaded since
    safepoint::reach();       // the gate is closed from here on
    threads::reap();          // who has ended is not lost
    locks::collect();         // what lost threads will hold: nothing moves any more
    threads::ask_kernel();    // what threads without a wait record are doing
  }

  // For a child without lost threads, whose entry was put off.
  static ChildEntry late_entry() { return ChildEntry(); }

  static void parent() {
    safepoint::release();  // first of all: threads stand at the gate
  }

  static void child() {
    const ChildEntry entry;
    gate::after_fork_child(entry);  // this thread may have closed it
    safepoint::after_fork_child(entry);
    if (!has_threads() && !has_lost_threads()) {
      // Nothing is lost. The books are brought up to date when they are needed (catch_up): most
      // such children exec or exit, and a store would cost each a page fault.
      if (child_unannounced()) restore_armed_page(entry);
      return;
    }
    const int pid = sys::getpid();
    process_id = pid;
    own = pending;
    pending.python_file[0] = '\0';
    restore_armed_page(entry);       // interposers look at it first
    locks::after_fork_child(entry);  // while records still say who was the owner
    loader::after_fork_child(entry, pid);
    threads::after_fork_child(entry, pid);
    threads::lost_handles_after_fork_child(entry);
    runtimes::after_fork_child(entry);
    resume::after_fork_child(entry);
    locks::adopted_after_fork_child(entry);
    locks::orphan_after_fork_child(entry);
    initialisers::after_fork_child(entry);
    locks::lost_waiters_after_fork_child(entry);
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
void on_prepare() {
  if (!has_threads() || announced || safepoint::held_by_this_thread()) return;
  note_origin(nullptr);
  safepoint::close_only();
  locks::collect();
  threads::ask_kernel();
}
void on_parent() { Protocol::parent(); }
void on_child() {
  if (process_id != sys::getpid()) Protocol::child();
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

void before(const void* caller) {
  catch_up();
  python::embedder::before();
  // Only where there are handlers to tell: a store costs the parent a page fault each fork.
  if (has_threads()) announced = true;
  Protocol::before(caller);
}
void come_to_rest() { Protocol::come_to_rest(); }

void after_parent() {
  if (announced) announced = false;
  Protocol::parent();
  python::embedder::after_parent();
}
void after_child() {
  if (announced) announced = false;
  on_child();
  python::embedder::after_child();
  resume::revive_eager();
}
void after_daemon() {
  after_child();
  after_parent();
}
void after_child_bare() { Protocol::child(); }

void notice_child() {
  // A vfork child shares the page, so it is never here. Two threads cannot be: a new child has one.
  note_origin(nullptr);
  pending.parent_pid = sys::getppid();
  Protocol::child();
}

void install_handlers() { pthread_atfork(on_prepare, on_parent, on_child); }

bool is_this_process() { return process_id == sys::getpid(); }

const Origin& origin() { return own; }
Origin& next_origin() { return pending; }

}  // namespace forkmend::forking
