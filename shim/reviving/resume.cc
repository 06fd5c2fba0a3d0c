#include "shim/reviving/resume.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "shim/base/armed.h"
#include "shim/base/own_stack.h"
#include "shim/base/real.h"
#include "shim/base/settings.h"
#include "shim/base/signals.h"
#include "shim/base/syscall.h"
#include "shim/forking/protocol.h"
#include "shim/forking/standstill.h"
#include "shim/locks/lost_waiters.h"
#include "shim/python/bridge.h"
#include "shim/reporting/event.h"
#include "shim/reviving/by_signal.h"
#include "shim/reviving/forkall.h"
#include "shim/reviving/forkall_descriptors.h"
#include "shim/reviving/image.h"
#include "shim/reviving/kernel_objects.h"
#include "shim/reviving/pages.h"
#include "shim/reviving/rerun.h"
#include "shim/runtimes/runtime.h"
#include "shim/threads/create.h"
#include "shim/threads/destructors.h"

namespace forkmend::resume {

FORKMEND_SAME_PAGE std::atomic<int> pending{0};

namespace {

constexpr std::uint32_t kNotYetKnown = ~0u;

// The phase of a revival, and its number: threads that were told to go on may find the next one
// under way. Those of one that was given up are joined before the next begins.
enum Phase : std::uint32_t { making = 0, going_on, given_up, kPhases };

// One revival at a time, of one runtime.
struct Revival {
  std::atomic<std::uint32_t> busy{0};
  std::atomic<std::uint32_t> phase{making};  // and kPhases times its number
  std::atomic<std::uint32_t> arrived{0}, wanted{0};
  std::atomic<bool> moved{false};  // a thread is not where it was
};
Revival revival;
FORKMEND_TLS bool inside;  // this thread is reviving

void begin() {
  const std::uint32_t number = revival.phase.load() / kPhases;
  revival.wanted.store(kNotYetKnown);
  revival.arrived.store(0);
  revival.moved.store(false);
  revival.phase.store((number + 1) * kPhases);
}

// The last one wakes the reviving thread: a hundred would wake it a hundred times.
void raise_count() {
  if (revival.arrived.fetch_add(1) + 1 == revival.wanted.load())
    sys::futex_wake_all(&revival.arrived);
}

void wait_for_count(std::uint32_t wanted) {
  revival.wanted.store(wanted);
  for (std::uint32_t seen; (seen = revival.arrived.load()) != wanted;)
    sys::futex_wait(&revival.arrived, seen, nullptr);
}

// Each thread that is woken wakes two more: the one whose enqueue began it all need not wake a
// hundred before it goes on itself.
constexpr int kWakes = 2;

void enter_phase(Phase phase) {
  revival.phase.fetch_add(phase);
  sys::futex_wake(&revival.phase, kWakes);
}

// In a thread that was made anew: it is as it was. False if the revival was given up.
bool wait_for_others() {
  const std::uint32_t current = revival.phase.load();  // stays so until this thread is counted
  raise_count();
  while (revival.phase.load() == current) sys::futex_wait(&revival.phase, current, nullptr);
  sys::futex_wake(&revival.phase, kWakes);
  return revival.phase.load() != current + given_up;
}

// Who is made anew together: all lost threads of a runtime, or one that goes on by itself.
struct Group {
  Runtime& runtime;
  Thread* one = nullptr;
};

template <class Visit>
void for_each_lost(const Group& group, Visit&& visit) {
  if (group.one != nullptr) {
    if (threads::is_lost(*group.one)) visit(*group.one);
    return;
  }
  threads::for_each_lost([&](Thread& t) { return t.runtime != &group.runtime || visit(t); });
}

bool has_stacks(Runtime& r) {
  bool any = false;
  for_each_lost({r}, [&](Thread& t) {
    any = t.stack.load(std::memory_order_relaxed) != nullptr;
    return !any;
  });
  return any;
}

const char* why_not_here() {
  if (modules::has_allocator()) return "this process has a malloc of its own";
  return image::why_unknown();
}

// A thread that was in no wait that it can go on from.
const char* why_not_parked(const Thread& t) {
  if (t.wait.call.load() == WaitCall::none) return "it was running at the fork";
  if (python::is_interpreters(t.wait.caller)) return "it was inside the Python interpreter";
  if (modules::is_in_allocator(t.wait.caller)) return "it was inside a memory allocator";
  if (t.held.count > 0 || t.held.overflow > 0) return "it held a lock";
  if (t.invisible.load() > 0) return "it was inside the loader, stdio or a static initialiser";
  return "it was on its way out of a wait at the fork";
}

// Why this thread cannot go on, or begin again, or null.
const char* obstacle(const Thread& t) {
  const Stack* s = t.stack.load();
  if (s == nullptr || s->frame == nullptr) return "it has no stack of the shim's own";
  const ThreadState state = t.state.load();
  if (!has_begun(state)) return "it had just been created at the fork";
  if (state == ThreadState::exiting) return "it was ending at the fork";
  if (t.runtime->policy == Policy::rerun)
    return !s->whole.load() ? why_not_parked(t) : rerun::obstacle(t, *s);
  if (!image::see(t.handle, s->base.load() + s->size)) return "its thread block is not known";
  if (image::has_noted(t.handle))
    return "it has a Python thread state, which CPython frees in a child";
  if (t.runtime->policy == Policy::forkall ? !standstill::stood(*s) : !s->whole.load())
    return why_not_parked(t);
  const auto sp = s->context.sp - reinterpret_cast<std::uintptr_t>(s->base.load());
  if (!s->in_handler && sp >= s->size - threads::stacks::kPad)
    return "it waited on another stack than its own, as coroutines and greenlets do";
  if (t.wait.call.load() == WaitCall::barrier_wait) return "it waited at a barrier";
  return nullptr;
}

// What lost threads were counted in: a condition variable that counts a waiter which does not exist
// gives it the next signal.
void forget_waiters(const Group& group) {
  for_each_lost(group, [](Thread& t) {
    void* object = const_cast<void*>(t.wait.object);
    switch (t.wait.call.load()) {
      case WaitCall::cond_wait:
        locks::put_right(static_cast<pthread_cond_t*>(object));
        break;
      case WaitCall::rwlock_rdlock:
      case WaitCall::rwlock_wrlock:
        locks::put_right_waiters(static_cast<pthread_rwlock_t*>(object));
        break;
      default:
        break;
    }
    return true;
  });
}

// Makes every thread anew, up to the point where nothing but its own is missing. 0 or an errno.
int make_all(const Group& group, std::uint32_t& count) {
  int error = 0;
  count = 0;
  for_each_lost(group, [&](Thread& t) {
    Stack& s = *t.stack.load();
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, s.base.load(), s.size);
    pthread_t handle = 0;
    // Joinable, whatever it was: if this fails half way, those made so far have to be waited for.
    error = threads::make_anew(&t, &handle, &attributes);
    pthread_attr_destroy(&attributes);
    if (error != 0) return false;
    count++;
    if (handle != s.handle) revival.moved.store(true);
    return true;
  });
  wait_for_count(count);
  if (error == 0 && revival.moved.load()) error = EFAULT;
  return error;
}

void give_up(const Group& group, std::uint32_t count) {
  enter_phase(given_up);
  for_each_lost(group, [&](Thread& t) {
    if (count == 0) return false;
    count--;
    real().pthread_join(t.stack.load()->handle, nullptr);
    return true;
  });
}

void book(const Group& group, std::uint32_t count) {
  const int n = static_cast<int>(count);
  const bool by_itself = group.one != nullptr;
  for_each_lost(group, [&](Thread& t) {
    Stack& s = *t.stack.load();
    if ((s.ends.load() & kLoose) != 0) real().pthread_detach(t.handle);
    if (s.again) threads::begin_anew(t);
    const ThreadState state = by_itself ? ThreadState::running
                              : s.again ? ThreadState::starting
                                        : ThreadState::leaving;
    s.whole.store(false);
    s.standing.store(Standing::no);
    s.missed.store(0);
    s.image = nullptr;
    s.again = false;
    threads::go_on(t, state);
    return true;
  });
  threads::live().fetch_add(n);
  group.runtime.live.fetch_add(n);
  if (by_itself) {
    // The process stays one with lost threads: what this one holds carries the id that it had, and
    // is put right by it as it is used (locks/orphan.h).
    if (threads::lost.load() > 1) threads::lost.fetch_sub(n);
    forkall::began();
    return;
  }
  threads::lost.fetch_sub(n);
  runtimes::registered_threads.fetch_add(n);
  set_busy(Busy::registered_threads, true);
  if (threads::lost.load() == 0) set_busy(Busy::lost_threads, false);
}

// The pages of lost threads that are written to when they are made anew and go on are still shared
// with the parent. To copy one interrupts all CPUs that threads of the process run on: it is done
// while there is but one. Those at the top of a stack hold nothing that is needed once the image is
// taken: libc fills them again from the top, and the trampoline's frames come to lie where they
// were. A stack that the program gave may be memory that DONTNEED would not clear.
void ready_pages(const Group& group) {
  constexpr std::size_t kBelowTrampoline = 2048, kAroundWait = 512;  // bytes of frames
  pages::Ranges unneeded(MADV_DONTNEED);
  for_each_lost(group, [&](Thread& t) {
    const Stack& s = *t.stack.load();
    if (s.ours)
      unneeded.add(static_cast<const char*>(s.frame) - kBelowTrampoline, s.base.load() + s.size);
    return true;
  });
  unneeded.apply();
  pages::Ranges written(MADV_POPULATE_WRITE);
  for_each_lost(group, [&](Thread& t) {
    const Stack& s = *t.stack.load();
    const char* base = s.base.load();
    const auto* sp = reinterpret_cast<const char*>(s.context.sp);
    written.add(static_cast<const char*>(s.frame) - kBelowTrampoline, base + s.size);
    // In a handler it may be on another stack, with nothing below.
    const char* below = s.in_handler ? sp : sp - kAroundWait;
    written.add(below < base && sp >= base ? base : below, sp + kAroundWait);
    return true;
  });
  for_each_lost(group, [&](Thread& t) {  // what is booked when all are there
    written.add(reinterpret_cast<const char*>(&t), reinterpret_cast<const char*>(&t + 1));
    return true;
  });
}

// Of one that goes on by itself.
int take_image(const Group& group) {
  Stack& s = *group.one->stack.load();
  if (s.image != nullptr) return 0;
  const long memory = sys::call(SYS_mmap, 0, static_cast<long>(image::most()),
                                PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory < 0 && memory > -4096) return ENOMEM;
  s.image = reinterpret_cast<char*>(memory);
  image::take(group.one->handle, s.image);
  std::atomic_signal_fence(std::memory_order_seq_cst);  // another thread may fork
  ready_pages(group);
  return 0;
}

// Images of all threads, in one mapping. Taken once: a second try finds the thread blocks
// overwritten by the first.
int take_images(const Group& group, std::uint32_t count) {
  if (group.one != nullptr) return take_image(group);
  Runtime& r = group.runtime;
  if (r.images != nullptr) return 0;
  const std::size_t size = image::most() * count;
  const long memory = sys::call(SYS_mmap, 0, static_cast<long>(size), PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory < 0 && memory > -4096) return ENOMEM;
  auto* const all = reinterpret_cast<char*>(memory);
  char* next = all;
  for_each_lost(group, [&](Thread& t) {
    t.stack.load()->image = next;
    const std::size_t taken = image::take(t.handle, next);
    // The others will mostly be as large.
    if (next == all) pages::Ranges(MADV_POPULATE_WRITE).add(next, next + taken * count);
    next += taken;
    return true;
  });
  r.images_size = size;
  r.images = all;
  std::atomic_signal_fence(std::memory_order_seq_cst);  // another thread may fork
  ready_pages(group);
  return 0;
}

// They begin as they began once: without thread-local objects, and without what they had done.
void prepare_again(const Group& group) {
  for_each_lost(group, [](Thread& t) {
    Stack& s = *t.stack.load();
    s.again = true;
    s.destructors = nullptr;  // of objects that nobody destroys
    return true;
  });
}

void drop_images(Runtime& r) {
  sys::call(SYS_munmap, sys::arg(r.images), static_cast<long>(r.images_size));
  r.images = nullptr;
}

// True if all can; else says once why not, and never tries again in this process.
bool possible(const Group& group, std::uint32_t& count) {
  const Runtime& r = group.runtime;
  const char* why = nullptr;
  const Thread* whose = nullptr;
  count = 0;
  if (r.policy != Policy::rerun) why = why_not_here();
  if (why == nullptr) {
    for_each_lost(group, [&](Thread& t) {
      count++;
      why = obstacle(t);
      whose = &t;
      return why == nullptr;
    });
  }
  if (why == nullptr) return true;
  report_not_resumed(r, whose, why);
  return false;
}

int revive_now(const Group& group) {
  Runtime& r = group.runtime;
  std::uint32_t count;
  if (!possible(group, count)) return ENOTSUP;
  const Nanoseconds start = now();
  if (group.one != nullptr) {
    // Nobody shares them with a parent that has ended.
    const int error = forkall::parent_has_ended() ? 0 : kernel_objects::rebuild(r, *group.one);
    if (error != 0) return error;
  } else if (!r.objects_rebuilt) {
    if (const int error = kernel_objects::rebuild(r)) return error;
    r.objects_rebuilt = true;
  }
  // libc's own handlers need nothing that is missing here, and other threads wait for them.
  const sys::SignalsBlocked blocked(~sys::kLibcSignals);
  if (r.policy == Policy::rerun) {
    prepare_again(group);
  } else if (const int error = take_images(group, count)) {
    return error;
  }
  char* const image = group.one != nullptr ? group.one->stack.load()->image : nullptr;
  forget_waiters(group);
  begin();
  std::uint32_t made;
  if (const int error = make_all(group, made)) {
    give_up(group, made);
    return error;
  }
  if (r.signal != 0) by_signal::forker_went_on();
  book(group, made);
  // Each has read its own.
  if (image != nullptr) {
    sys::call(SYS_munmap, sys::arg(image), static_cast<long>(image::most()));
  } else if (r.images != nullptr) {
    drop_images(r);
  }
  enter_phase(going_on);
  if (settings.log == Log::info)
    say("{} {} threads of {} in {} us", r.policy == Policy::rerun ? "reran" : "resumed", made,
        r.name, (now() - start) / kMicrosecond);
  return 0;
}

// One revival at a time: whoever else wants one waits.
template <class Work>
int alone(Work&& work) {
  const int kept = errno;
  std::uint32_t idle = 0;
  while (!revival.busy.compare_exchange_strong(idle, 1)) {
    sys::futex_wait(&revival.busy, 1, nullptr);
    idle = 0;
  }
  inside = true;
  int error = 0;
  // The enqueue may come from a small stack.
  if (!own_stack::run_large([&] { error = work(); })) error = work();
  inside = false;
  revival.busy.store(0);
  sys::futex_wake_all(&revival.busy);
  errno = kept;
  return error;
}

void settled(Runtime& r) {
  r.resumable.store(false);
  pending.fetch_sub(1);
}

}  // namespace

bool possible_here() { return image::probe() && why_not_here() == nullptr; }

int revive(Runtime& r) {
  if (inside || !r.resumable.load() || !forking::is_this_process()) return 0;
  return alone([&] {
    if (!r.resumable.load()) return 0;
    const int error = revive_now({r});
    if (error == 0) {
      __atomic_store_n(&r.handle.lost, 0, __ATOMIC_RELEASE);
      settled(r);
    } else if (error == ENOTSUP) {
      settled(r);
    } else {
      report_respawn_failed(r, error);
    }
    return error;
  });
}

bool is_reviving() { return inside; }

int revive(Thread& t) {
  if (inside || !forking::is_this_process()) return EAGAIN;
  return alone([&] {
    if (!threads::is_lost(t)) return 0;
    Runtime& r = *t.runtime;
    const int error = revive_now({r, &t});
    if (error != 0 && error != ENOTSUP) report_respawn_failed(r, error);
    return error;
  });
}

void revive_eager() {
  if (pending.load(std::memory_order_relaxed) == 0) return;
  runtimes::for_each([](Runtime& r) {
    if (r.policy == Policy::eager || by_signal::forked_by(r)) revive(r);
  });
}

void after_fork_child(const ChildEntry& entry) {
  int count = 0;
  for (int i = 0; i < runtimes::highest(); i++) {
    Runtime& r = runtimes::at(i);
    if (!r.in_use.load(std::memory_order_relaxed)) continue;
    r.objects_rebuilt = false;
    if (!makes_anew(r.policy)) continue;
    // Eager is what is done for registered runtimes and Python's threads too, in their own ways.
    const bool lost = r.handle.lost != 0 && (r.policy != Policy::eager || has_stacks(r));
    r.resumable.store(lost, std::memory_order_relaxed);
    if (lost) count++;
  }
  pending.store(count, std::memory_order_relaxed);
  by_signal::after_fork_child(entry);
  // Caught in the middle of a revival of another thread's: that thread is lost, the revival too.
  revival.busy.store(0, std::memory_order_relaxed);
  inside = false;
}

// --- in the thread that was made anew. Its thread-local storage is libc's fresh one: nothing of it
// may be kept across put_back().

bool arrive_again(Stack& s) {
  if (pthread_self() != s.handle) revival.moved.store(true);
  if (!wait_for_others()) return false;
  sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&s.mask), 0, sizeof s.mask);
  return true;
}

bool arrive(Stack& s, const void* frame, image::Rest& rest) {
  image::Fresh fresh;
  const bool in_place = frame == s.frame && pthread_self() == s.handle;
  if (in_place) {
    image::put_back(s.image, fresh, rest);
  } else {
    revival.moved.store(true);
  }
  if (wait_for_others()) return true;
  if (in_place) image::take_out(fresh);
  return false;
}

void go_on(Thread& t, Stack& s, const image::Rest& rest) {
  const int id_before = t.tid.exchange(sys::gettid());
  threads::note_former_tid(t, id_before);
  threads::current_thread = &t;
  image::finish(rest);
  threads::destructors::register_again(s.destructors);
  if (t.name[0] != '\0') sys::call(SYS_prctl, PR_SET_NAME, sys::arg(t.name));
  if (t.runtime->signal != 0) by_signal::went_on(t, id_before);
  forkmend_resume_context(&s.context, &s.mask);
}

}  // namespace forkmend::resume
