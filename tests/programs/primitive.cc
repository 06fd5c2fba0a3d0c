// Every primitive of libc's and libstdc++'s, in every state in which a fork may find it: is it
// usable in the child?
//
//   primitive NAME STATE    exits with the child's code: 0, the step that failed, or 99 for a hang
//   primitive list          one line each: NAME STATE SETTING HARM
//
// States: held (a lost thread holds it), own (the forking thread does; own-wanted: a thread of the
// child waits for it; …-wanted-by-…: lost threads do), registered (a thread of a registered runtime
// does), waiting (a lost thread waits on it), inside (a lost thread is inside),
// running (the thread meant is lost).
// SETTING is what the cure needs: - or reset (FORKMEND_ORPHANS=reset), or keep: that set, and
// nothing may be opened. HARM is on which libc the
// child hangs or fails without the shim: always, never (it must stay well), >=2.43, <2.35 …
#include <errno.h>
#include <link.h>
#include <sys/mman.h>
#include <threads.h>

#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <stdexcept>
#include <thread>
#if __has_include(<semaphore>)
#include <semaphore>
#endif

#include "forkmend/forkmend.h"
#include "tests/programs/victim.h"

namespace {

using victim::is;

const char* name;   // of the primitive
const char* state;  // at the fork

bool named(std::string_view text) { return name == text; }
bool starts(std::string_view text) { return std::string_view(name).substr(0, text.size()) == text; }
bool in(std::string_view text) { return state == text; }
bool has_ending(std::string_view text, std::string_view ending) {
  return text.size() >= ending.size() && text.substr(text.size() - ending.size()) == ending;
}
bool ends_in(std::string_view ending) { return has_ending(name, ending); }
bool ends_in_state(std::string_view ending) { return has_ending(state, ending); }

// The first condition that does not hold ends the child with its number.
#define STEP(number, condition)      \
  do {                               \
    if (!(condition)) return number; \
  } while (false)

forkmend_runtime* runtime;

// --- the thread that will be lost
// -----------------------------------------------------------------

victim::Event ready;
pid_t lost_tid;
pthread_t lost;

// In the thread that will be lost, right before it does what it is found in.
void announce() {
  lost_tid = gettid();
  ready.raise();
}

void (*routine)();

void* run_routine(void*) {
  if (runtime != nullptr) forkmend_adopt_thread(runtime);
  routine();
  return nullptr;
}

int run_routine_c11(void*) {
  routine();
  return 0;
}

// Starts a thread, and returns when it sleeps in what it was started for.
void start(void (*what)(), const pthread_attr_t* attributes = nullptr) {
  routine = what;
  if (starts("thrd")) {
    if (thrd_create(&lost, run_routine_c11, nullptr) != thrd_success)
      victim::set_up_failed("thrd_create");
  } else if (pthread_create(&lost, attributes, run_routine, nullptr) != 0) {
    victim::set_up_failed("pthread_create");
  }
  ready.wait();
  victim::wait_until_asleep(lost_tid);
}

// A thread of the child's own.
bool run_thread(pthread_t& thread, void* (*body)(void*), void* argument = nullptr) {
  return pthread_create(&thread, nullptr, body, argument) == 0;
}

void sleeps() {
  announce();
  victim::sleep_for_ever();
}

int in_child(int (*body)()) {
  const pid_t child = victim::spawn([&] {
    victim::step("acts");
    return body();
  });
  return victim::reap(child);
}

timespec in_seconds(clockid_t clock, int seconds) {
  timespec time;
  clock_gettime(clock, &time);
  time.tv_sec += seconds;
  return time;
}

// --- locks
// ----------------------------------------------------------------------------------------

pthread_mutex_t mutex;
mtx_t c11_mutex;
pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
pthread_spinlock_t spin;
sem_t semaphore;

bool is_recursive() { return std::string_view(name).find("recursive") != std::string_view::npos; }
bool is_errorcheck() { return std::string_view(name).find("errorcheck") != std::string_view::npos; }

void make_lock() {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  const std::string_view kind(name);
  const auto has = [&](std::string_view part) { return kind.find(part) != std::string_view::npos; };
  pthread_mutexattr_settype(&attributes, is_recursive()    ? PTHREAD_MUTEX_RECURSIVE
                                         : is_errorcheck() ? PTHREAD_MUTEX_ERRORCHECK
                                         : has("adaptive") ? PTHREAD_MUTEX_ADAPTIVE_NP
                                                           : PTHREAD_MUTEX_NORMAL);
  if (has("robust")) pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  if (has("-pi")) pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  pthread_mutex_init(&mutex, &attributes);
  mtx_init(&c11_mutex, is_recursive() ? mtx_plain | mtx_recursive : mtx_timed);
  pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
  sem_init(&semaphore, 0, 1);
  if (runtime != nullptr && named("sem")) forkmend_adopt_lock(runtime, FORKMEND_SEM, &semaphore);
}

// As the thread that will be lost, or the forking one, takes it. 0 or an error.
int take_first() {
  if (starts("mtx")) return mtx_lock(&c11_mutex) == thrd_success ? 0 : EINVAL;
  if (starts("rwlock-of-reader")) return pthread_rwlock_rdlock(&rwlock);
  if (starts("rwlock")) return pthread_rwlock_wrlock(&rwlock);
  if (named("spin")) return pthread_spin_lock(&spin);
  if (named("sem")) return sem_wait(&semaphore);
  return pthread_mutex_lock(&mutex);
}

// As the child takes it.
int take() {
  const timespec wall = in_seconds(CLOCK_REALTIME, 10);
  if (named("mtx-timed")) return mtx_timedlock(&c11_mutex, &wall) == thrd_success ? 0 : ETIMEDOUT;
  if (starts("mtx")) return mtx_lock(&c11_mutex) == thrd_success ? 0 : EINVAL;
  if (named("rwlock-of-writer-read")) return pthread_rwlock_rdlock(&rwlock);
  if (named("rwlock-of-writer-timed")) return pthread_rwlock_timedwrlock(&rwlock, &wall);
  if (named("rwlock-of-writer-try")) return pthread_rwlock_trywrlock(&rwlock);
  if (starts("rwlock")) return pthread_rwlock_wrlock(&rwlock);
  if (named("spin")) return pthread_spin_lock(&spin);
  if (named("sem")) return sem_wait(&semaphore);
  if (named("mutex-timed")) return pthread_mutex_timedlock(&mutex, &wall);
  if (named("mutex-try")) return pthread_mutex_trylock(&mutex);
  return pthread_mutex_lock(&mutex);
}

int give_back() {
  if (starts("mtx")) return mtx_unlock(&c11_mutex) == thrd_success ? 0 : EPERM;
  if (starts("rwlock")) return pthread_rwlock_unlock(&rwlock);
  if (named("spin")) return pthread_spin_unlock(&spin);
  if (named("sem")) return sem_post(&semaphore);
  return pthread_mutex_unlock(&mutex);
}

// Nobody else holds it: the whole lock works, for this thread and for another.
int lock_is_whole() {
  STEP(20, take() == 0);
  STEP(21, give_back() == 0);
  int error = -1;
  std::thread([&] {
    error = take();
    if (error == 0) error = give_back();
  }).join();
  STEP(22, error == 0);
  STEP(23, take() == 0);
  if (is_recursive()) {
    STEP(24, take() == 0);
    STEP(25, give_back() == 0);
  }
  if (is_errorcheck()) STEP(26, take() == EDEADLK);
  STEP(27, give_back() == 0);
  return 0;
}

// The child wants what a lost thread holds.
int lock_of_lost() {
  int error = take();
  if (error == EOWNERDEAD) {  // what a robust mutex says when its owner died
    STEP(1, strstr(name, "robust") != nullptr);
    STEP(2, pthread_mutex_consistent(&mutex) == 0);
    error = 0;
  }
  STEP(3, error == 0);
  STEP(4, give_back() == 0);
  return lock_is_whole();
}

// The child goes on holding what its thread held.
int lock_of_own() {
  if (is_recursive()) {
    STEP(1, take() == 0);
    STEP(2, give_back() == 0);
  }
  if (is_errorcheck()) STEP(3, take() == EDEADLK);
  // It is held: another thread does not get it.
  if (!starts("mtx") && !starts("rwlock-of-reader")) {
    int error = -1;
    std::thread([&] {
      error = starts("rwlock")  ? pthread_rwlock_trywrlock(&rwlock)
              : starts("mutex") ? pthread_mutex_trylock(&mutex)
                                : EBUSY;
    }).join();
    STEP(4, error == EBUSY);
  }
  STEP(5, give_back() == 0);
  return lock_is_whole();
}

int taken = -1;

void* takes(void*) {
  lost_tid = gettid();
  ready.raise();
  taken = take();
  if (taken == 0) taken = give_back();
  return nullptr;
}

// Another thread of the child waits for what the forking thread still holds, and gets it.
int lock_of_own_wanted() {
  pthread_t waiter;
  STEP(1, run_thread(waiter, takes));
  ready.wait();
  victim::wait_until_asleep(lost_tid);
  STEP(2, give_back() == 0);
  STEP(3, pthread_join(waiter, nullptr) == 0);
  STEP(4, taken == 0);
  return lock_is_whole();
}

void holds() {
  if (take_first() != 0) victim::set_up_failed("lock");
  announce();
  victim::sleep_for_ever();
}

// Two that want it as well, and are lost while they wait.
void waits_to_read() {
  announce();
  pthread_rwlock_rdlock(&rwlock);
}

void waits_to_write() {
  announce();
  pthread_rwlock_wrlock(&rwlock);
}

void start_waiters() {
  if (ends_in_state("by-reader") || ends_in_state("by-both")) start(waits_to_read);
  if (ends_in_state("by-writer") || ends_in_state("by-both")) start(waits_to_write);
}

int lock_case() {
  if (in("registered")) runtime = forkmend_register("victim", nullptr, nullptr);
  make_lock();
  if (in("registered") || std::string_view(state).substr(0, 4) == "held") {
    start(holds);
    start_waiters();
    return in_child(lock_of_lost);
  }
  if (take_first() != 0) victim::set_up_failed("lock");
  start(sleeps);
  start_waiters();
  return in_child(!in("own-wanted") ? lock_of_own : lock_of_own_wanted);
}

// A grandchild of the thread that holds it.
int lock_of_grandchild() {
  const pid_t child = victim::spawn([] { return lock_of_own(); });
  STEP(1, victim::reap(child) == 0);
  return lock_of_own();
}

int grandchild_case() {
  name = "mutex-recursive";
  make_lock();
  if (take_first() != 0) victim::set_up_failed("lock");
  start(sleeps);
  return in_child(lock_of_grandchild);
}

// --- process-shared
// ------------------------------------------------------------------------------------

// In memory that parent and child share. To the child its owner is a lost thread; in the parent
// that thread lives on, and gives it back when the child says so.
struct Shared {
  pthread_mutex_t mutex;
  pthread_rwlock_t rwlock;
  sem_t sem, give_back;
};
Shared* shared;

int take_shared(bool timed) {
  const timespec deadline = in_seconds(CLOCK_REALTIME, timed ? 0 : 10);  // 0: over at once
  if (starts("rwlock")) return pthread_rwlock_timedwrlock(&shared->rwlock, &deadline);
  if (starts("sem")) return sem_timedwait(&shared->sem, &deadline) == 0 ? 0 : errno;
  return pthread_mutex_timedlock(&shared->mutex, &deadline);
}

int give_back_shared() {
  if (starts("rwlock")) return pthread_rwlock_unlock(&shared->rwlock);
  if (starts("sem")) return sem_post(&shared->sem);
  return pthread_mutex_unlock(&shared->mutex);
}

int try_shared() {
  if (starts("rwlock")) return pthread_rwlock_trywrlock(&shared->rwlock);
  if (starts("sem")) return sem_trywait(&shared->sem) == 0 ? 0 : EBUSY;
  return pthread_mutex_trylock(&shared->mutex);
}

void holds_shared() {
  if (take_shared(false) != 0) victim::set_up_failed("shared lock");
  announce();
  while (sem_wait(&shared->give_back) != 0) {
  }
  if (give_back_shared() != 0) victim::set_up_failed("shared unlock");
  victim::sleep_for_ever();
}

int shared_child() {
  const Shared before = *shared;
  STEP(1, try_shared() == EBUSY);
  STEP(2, take_shared(true) == ETIMEDOUT);
  STEP(3, shared->mutex.__data.__owner == before.mutex.__data.__owner);
  STEP(4, shared->rwlock.__data.__cur_writer == before.rwlock.__data.__cur_writer);
  sem_post(&shared->give_back);
  STEP(5, take_shared(false) == 0);
  STEP(6, give_back_shared() == 0);
  return 0;
}

int shared_case() {
  shared = static_cast<Shared*>(
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  pthread_mutexattr_t mutexes;
  pthread_mutexattr_init(&mutexes);
  pthread_mutexattr_setpshared(&mutexes, PTHREAD_PROCESS_SHARED);
  if (ends_in("robust")) pthread_mutexattr_setrobust(&mutexes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&shared->mutex, &mutexes);
  pthread_rwlockattr_t rwlocks;
  pthread_rwlockattr_init(&rwlocks);
  pthread_rwlockattr_setpshared(&rwlocks, PTHREAD_PROCESS_SHARED);
  pthread_rwlock_init(&shared->rwlock, &rwlocks);
  sem_init(&shared->sem, 1, 1);
  sem_init(&shared->give_back, 1, 0);
  if (in("registered")) runtime = forkmend_register("victim", nullptr, nullptr);
  start(holds_shared);
  return in_child(shared_child);
}

// --- threads
// --------------------------------------------------------------------------------------

void start_on_own_stack(void (*what)()) {
  constexpr size_t kStack = 256 * 1024;
  void* stack = mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, stack, kStack);
  start(what, &attributes);
}

int join_child() {
  void* result = &result;
  int error;
  if (named("pthread_tryjoin_np")) {
    error = pthread_tryjoin_np(lost, &result);
  } else if (named("pthread_timedjoin_np")) {
    const timespec deadline = in_seconds(CLOCK_REALTIME, 10);
    error = pthread_timedjoin_np(lost, &result, &deadline);
  } else if (named("pthread_clockjoin_np")) {
    const timespec deadline = in_seconds(CLOCK_MONOTONIC, 10);
    error = pthread_clockjoin_np(lost, &result, CLOCK_MONOTONIC, &deadline);
  } else if (named("thrd_join")) {
    error = thrd_join(lost, nullptr);
    result = nullptr;
  } else {
    error = pthread_join(lost, &result);
  }
  STEP(1, error == 0);
  STEP(2, result == nullptr);
  return 0;
}

int join_case() {
  if (named("pthread_join-own-stack")) {
    start_on_own_stack(sleeps);
  } else {
    start(sleeps);
  }
  return in_child(join_child);
}

int handle_child() {
  if (named("pthread_kill")) STEP(1, pthread_kill(lost, SIGUSR1) == ESRCH);
  if (named("pthread_kill-0")) STEP(2, pthread_kill(lost, 0) == ESRCH);
  if (named("pthread_sigqueue")) STEP(3, pthread_sigqueue(lost, SIGUSR1, {}) == ESRCH);
  if (named("pthread_cancel")) STEP(4, pthread_cancel(lost) == ESRCH);
  if (named("pthread_detach")) {
    // As libc answers: std::thread and GLib end the process where a detach fails.
    STEP(5, pthread_detach(lost) == 0);
    STEP(7, pthread_detach(lost) == ESRCH);
    STEP(8, pthread_kill(lost, 0) == ESRCH);
  }
  if (named("tgkill")) STEP(6, tgkill(getpid(), lost_tid, SIGUSR1) == -1 && errno == ESRCH);
  return 0;
}

int handle_case() {
  start(sleeps);
  return in_child(handle_child);
}

volatile int struck;
sem_t let_go;

void* waits_to_go(void* argument) {
  while (sem_wait(&let_go) != 0) {
  }
  return argument;
}

// Threads of the child must not be taken for lost ones, though libc would give them their handles.
int reused_child() {
  struck = 0;
  signal(SIGUSR1, [](int) { struck = 1; });
  pthread_t fresh[8];
  sem_init(&let_go, 0, 0);
  for (pthread_t& thread : fresh) {
    STEP(1, run_thread(thread, waits_to_go, &thread));
    STEP(2, !pthread_equal(thread, lost));
  }
  STEP(3, pthread_kill(lost, SIGUSR1) == ESRCH);
  STEP(4, pthread_cancel(lost) == ESRCH);
  STEP(5, pthread_join(lost, nullptr) == 0);
  for (size_t i = 0; i < std::size(fresh); i++) sem_post(&let_go);
  for (pthread_t& thread : fresh) {
    void* result = nullptr;
    STEP(6, pthread_join(thread, &result) == 0);
    STEP(7, result == &thread);
  }
  STEP(8, struck == 0);
  return 0;
}

int reused_case() {
  start(sleeps);
  return in_child(reused_child);
}

// --- condition variables
// ----------------------------------------------------------------------------

pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
cnd_t c11_cond;
bool go;

bool is_c11() { return starts("cnd"); }

int wait_once() {
  if (is_c11()) return cnd_wait(&c11_cond, &c11_mutex) == thrd_success ? 0 : EINVAL;
  return pthread_cond_wait(&cond, &mutex);
}
void lock_cond() {
  is_c11() ? static_cast<void>(mtx_lock(&c11_mutex))
           : static_cast<void>(pthread_mutex_lock(&mutex));
}
void unlock_cond() {
  is_c11() ? static_cast<void>(mtx_unlock(&c11_mutex))
           : static_cast<void>(pthread_mutex_unlock(&mutex));
}
void signal_cond(bool all) {
  if (is_c11()) {
    all ? cnd_broadcast(&c11_cond) : cnd_signal(&c11_cond);
  } else {
    all ? pthread_cond_broadcast(&cond) : pthread_cond_signal(&cond);
  }
}
void waits_for_cond() {
  lock_cond();
  announce();
  if (named("pthread_cond_timedwait")) {
    const timespec deadline = in_seconds(CLOCK_REALTIME, 3600);
    pthread_cond_timedwait(&cond, &mutex, &deadline);
  }
  for (;;) wait_once();
}

void* waits_to_be_told(void*) {
  lost_tid = gettid();
  lock_cond();
  ready.raise();
  while (!go) wait_once();
  unlock_cond();
  return nullptr;
}

// A thread of the child waits; one signal must reach it, lost waiters or not.
int signal_child() {
  pthread_t waiter;
  for (int round = 0; round < 4; round++) {
    go = false;
    STEP(1, run_thread(waiter, waits_to_be_told));
    ready.wait();
    victim::wait_until_asleep(lost_tid);
    lock_cond();
    go = true;
    signal_cond(ends_in("broadcast"));
    unlock_cond();
    STEP(2, pthread_join(waiter, nullptr) == 0);
  }
  return 0;
}

int destroy_child() {
  if (is_c11()) {
    cnd_destroy(&c11_cond);
  } else {
    STEP(1, pthread_cond_destroy(&cond) == 0);
  }
  return 0;
}

// The program signals first, as one does that hands over work: then the books say that a waiter was
// woken, who never leaves.
int signal_then_destroy_child() {
  for (int i = 0; i < 3; i++) signal_cond(false);
  signal_cond(true);
  if (const int code = signal_child()) return code;
  return destroy_child();
}

int cond_case() {
  mtx_init(&c11_mutex, mtx_plain);
  cnd_init(&c11_cond);
  // Three waiters, two of them in the group that is signalled next.
  start(waits_for_cond);
  start(waits_for_cond);
  lock_cond();
  signal_cond(false);
  unlock_cond();
  start(waits_for_cond);
  return in_child(ends_in("destroy") ? destroy_child
                  : ends_in("all")   ? signal_then_destroy_child
                                     : signal_child);
}

// --- barriers
// ---------------------------------------------------------------------------------------

pthread_barrier_t barrier;

void waits_at_barrier() {
  announce();
  pthread_barrier_wait(&barrier);
  victim::sleep_for_ever();
}

int barrier_child() {
  if (named("pthread_barrier_destroy")) {
    STEP(1, pthread_barrier_destroy(&barrier) == 0);
    STEP(2, pthread_barrier_init(&barrier, nullptr, 2) == 0);
  } else {
    // The lost thread had come: this arrival ends the round.
    pthread_barrier_wait(&barrier);
  }
  // And it serves two threads of the child, as often as they like.
  int rounds = 0;
  std::thread other([] {
    for (int i = 0; i < 3; i++) pthread_barrier_wait(&barrier);
  });
  for (; rounds < 3; rounds++) pthread_barrier_wait(&barrier);
  other.join();
  STEP(3, pthread_barrier_destroy(&barrier) == 0);
  return 0;
}

int barrier_case() {
  pthread_barrier_init(&barrier, nullptr, 2);
  start(waits_at_barrier);
  return in_child(barrier_child);
}

// --- the C++ library
// --------------------------------------------------------------------------------

std::thread* std_thread;

int std_thread_child() {
  if (named("std::thread::join")) std_thread->join();
  if (named("std::thread::detach")) std_thread->detach();
  STEP(1, !std_thread->joinable());
  std::thread fresh([] {});
  fresh.join();
  return 0;
}

int std_thread_case() {
  std_thread = new std::thread(sleeps);
  ready.wait();
  victim::wait_until_asleep(lost_tid);
  return in_child(std_thread_child);
}

std::future<int>* future;

int future_child() {
  STEP(1, future->wait_for(std::chrono::milliseconds(10)) == std::future_status::timeout);
  delete future;  // joins the thread
  auto fresh = std::async(std::launch::async, [] { return 7; });
  STEP(2, fresh.get() == 7);
  return 0;
}

int future_case() {
  future = new std::future<int>(std::async(std::launch::async, [] {
    sleeps();
    return 0;
  }));
  ready.wait();
  victim::wait_until_asleep(lost_tid);
  return in_child(future_child);
}

std::mutex* cxx_mutex;
std::condition_variable* condition;

void waits_for_condition() {
  std::unique_lock lock(*cxx_mutex);
  announce();
  condition->wait(lock, [] { return false; });
}

int condition_child() {
  bool seen = false;
  for (int round = 0; round < 3; round++) {
    std::unique_lock lock(*cxx_mutex);
    seen = false;
    std::thread other([&] {
      std::lock_guard guard(*cxx_mutex);
      seen = true;
      condition->notify_one();
    });
    condition->wait(lock, [&] { return seen; });
    lock.unlock();
    other.join();
  }
  delete condition;
  return 0;
}

int condition_case() {
  cxx_mutex = new std::mutex;
  condition = new std::condition_variable;
  start(waits_for_condition);
  start(waits_for_condition);
  return in_child(condition_child);
}

#if __has_include(<semaphore>)
std::counting_semaphore<8>* counting;

void waits_for_counting() {
  announce();
  counting->acquire();
}

int counting_child() {
  std::thread other([] { counting->acquire(); });
  counting->release(1);
  other.join();
  STEP(1, !counting->try_acquire());
  counting->release(2);
  counting->acquire();
  counting->acquire();
  STEP(2, !counting->try_acquire_for(std::chrono::milliseconds(5)));
  return 0;
}

int counting_case() {
  counting = new std::counting_semaphore<8>(0);
  start(waits_for_counting);
  return in_child(counting_child);
}
#endif

// --- initialisers
// -------------------------------------------------------------------------------------

pthread_once_t once = PTHREAD_ONCE_INIT;
volatile pid_t initialised_by;

void initialise() {
  if (initialised_by == 0) {
    initialised_by = getpid();
    sleeps();
  }
  initialised_by = getpid();
}

__attribute__((noinline)) int instance() {
  static const int value = [] {
    initialise();
    return 5;
  }();
  return value;
}

int initialiser_child() {
  if (named("pthread_once")) {
    STEP(1, pthread_once(&once, initialise) == 0);
  } else {
    STEP(2, instance() == 5);
    STEP(3, instance() == 5);
  }
  STEP(4, initialised_by == getpid());
  return 0;
}

int initialiser_case() {
  if (named("pthread_once")) {
    start([] { pthread_once(&once, initialise); });
  } else {
    start([] { instance(); });
  }
  return in_child(initialiser_child);
}

// --- the loader
// -----------------------------------------------------------------------------------------

int count_objects() {
  int count = 0;
  dl_iterate_phdr(
      [](dl_phdr_info*, size_t, void* sum) {
        ++*static_cast<int*>(sum);
        return 0;
      },
      &count);
  return count;
}

int throw_once(int i) {
  try {
    if (i > 0) throw std::runtime_error("thrown");
  } catch (const std::runtime_error& error) {
    return error.what()[0] == 't';
  }
  return 0;
}

int loader_child() {
  for (int i = 1; i < 4; i++) {
    if (named("dl_iterate_phdr")) STEP(1, count_objects() > 1);
    if (named("throw")) STEP(2, throw_once(i) == 1);
  }
  int from_thread = 0;
  std::thread([&] { from_thread = named("throw") ? throw_once(1) : count_objects(); }).join();
  STEP(3, from_thread > 0);
  return 0;
}

int loader_case() {
  throw_once(1);  // what the unwinder loads at its first use is loaded
  start([] {
    dl_iterate_phdr(
        [](dl_phdr_info*, size_t, void*) {
          sleeps();
          return 0;
        },
        nullptr);
  });
  return in_child(loader_child);
}

// The forking thread is inside itself.
int loader_own_case() {
  throw_once(1);
  start(sleeps);
  static int code;
  dl_iterate_phdr(
      [](dl_phdr_info*, size_t, void*) {
        const pid_t child = fork();
        if (child == 0) {
          victim::begin_child();
          victim::step("acts");
          code = -1;
          return 1;
        }
        code = victim::reap(child);
        return 1;
      },
      nullptr);
  return code == -1 ? loader_child() : code;
}

// --- the table
// --------------------------------------------------------------------------------------------

struct Case {
  const char* name;
  const char* state;
  const char* setting;
  const char* harm;
  int (*run)();
};

constexpr Case kCases[] = {
    {"mutex-normal", "held", "reset", "always", lock_case},
    {"mutex-recursive", "held", "reset", "always", lock_case},
    {"mutex-errorcheck", "held", "reset", "always", lock_case},
    {"mutex-adaptive", "held", "reset", "always", lock_case},
    {"mutex-robust", "held", "reset", "always", lock_case},
    {"mutex-pi", "held", "reset", "always", lock_case},
    {"mutex-pi-recursive", "held", "reset", "always", lock_case},
    {"mutex-pi-errorcheck", "held", "reset", "always", lock_case},
    {"mutex-pi-robust", "held", "reset", "always", lock_case},
    {"mtx-plain", "held", "reset", "always", lock_case},
    {"mtx-recursive", "held", "reset", "always", lock_case},
    {"mutex-timed", "held", "reset", "always", lock_case},
    {"mutex-try", "held", "reset", "always", lock_case},
    {"mtx-timed", "held", "reset", "always", lock_case},
    {"rwlock-of-writer-read", "held", "reset", "always", lock_case},
    {"rwlock-of-writer-write", "held", "reset", "always", lock_case},
    {"rwlock-of-writer-timed", "held", "reset", "always", lock_case},
    {"rwlock-of-writer-try", "held", "reset", "always", lock_case},
    {"rwlock-of-writer-write", "held-wanted-by-reader", "reset", "always", lock_case},
    {"rwlock-of-writer-write", "held-wanted-by-writer", "reset", "always", lock_case},
    {"rwlock-of-writer-read", "held-wanted-by-both", "reset", "always", lock_case},
    {"mutex-normal", "registered", "-", "always", lock_case},
    {"mutex-recursive", "registered", "-", "always", lock_case},
    {"mutex-errorcheck", "registered", "-", "always", lock_case},
    {"mutex-adaptive", "registered", "-", "always", lock_case},
    {"mutex-robust", "registered", "-", "always", lock_case},
    {"mutex-pi", "registered", "-", "always", lock_case},
    {"mutex-pi-recursive", "registered", "-", "always", lock_case},
    {"mutex-pi-errorcheck", "registered", "-", "always", lock_case},
    {"mutex-pi-robust", "registered", "-", "always", lock_case},
    {"mtx-plain", "registered", "-", "always", lock_case},
    {"mtx-recursive", "registered", "-", "always", lock_case},
    {"rwlock-of-writer-read", "registered", "-", "always", lock_case},
    {"rwlock-of-writer-write", "registered", "-", "always", lock_case},
    {"rwlock-of-reader-write", "registered", "-", "always", lock_case},
    {"spin", "registered", "-", "always", lock_case},
    {"sem", "registered", "-", "always", lock_case},
    {"mutex-normal", "own", "-", "never", lock_case},
    {"mutex-recursive", "own", "-", "always", lock_case},
    {"mutex-errorcheck", "own", "-", "always", lock_case},
    {"mutex-adaptive", "own", "-", "never", lock_case},
    {"mutex-robust", "own", "-", "always", lock_case},
    {"mutex-pi", "own", "-", "always", lock_case},
    {"mutex-pi-recursive", "own", "-", "always", lock_case},
    {"mutex-pi-errorcheck", "own", "-", "always", lock_case},
    {"mutex-pi-robust", "own", "-", "always", lock_case},
    {"mtx-plain", "own", "-", "never", lock_case},
    {"mtx-recursive", "own", "-", "always", lock_case},
    {"rwlock-of-writer-write", "own", "-", "always", lock_case},
    {"rwlock-of-reader-write", "own", "-", "never", lock_case},
    {"rwlock-of-writer-write", "own-wanted-by-reader", "-", "always", lock_case},
    {"rwlock-of-writer-write", "own-wanted-by-writer", "-", "always", lock_case},
    {"rwlock-of-writer-read", "own-wanted-by-both", "-", "always", lock_case},
    {"rwlock-of-reader-write", "own-wanted-by-writer", "-", "always", lock_case},
    {"mutex-recursive", "own-wanted", "-", "always", lock_case},
    {"mutex-robust", "own-wanted", "-", "always", lock_case},
    {"mutex-pi", "own-wanted", "-", "always", lock_case},
    {"mutex-pi-robust", "own-wanted", "-", "always", lock_case},
    {"rwlock-of-writer-read", "own-wanted", "-", "always", lock_case},
    {"rwlock-of-writer-write", "own-wanted", "-", "always", lock_case},
    {"mutex-recursive", "grandchild", "-", "always", grandchild_case},
    {"mutex-shared", "held", "keep", "never", shared_case},
    {"mutex-shared-robust", "held", "keep", "never", shared_case},
    {"rwlock-shared", "held", "keep", "never", shared_case},
    {"sem-shared", "held", "keep", "never", shared_case},
    {"mutex-shared", "registered", "keep", "never", shared_case},
    {"mutex-shared-robust", "registered", "keep", "never", shared_case},
    {"rwlock-shared", "registered", "keep", "never", shared_case},
    {"sem-shared", "registered", "keep", "never", shared_case},
    {"pthread_join", "running", "-", ">=2.43", join_case},
    {"pthread_tryjoin_np", "running", "-", ">=2.43", join_case},
    {"pthread_timedjoin_np", "running", "-", ">=2.43", join_case},
    {"pthread_clockjoin_np", "running", "-", ">=2.43", join_case},
    {"thrd_join", "running", "-", ">=2.43", join_case},
    {"pthread_join-own-stack", "running", "-", "always", join_case},
    {"pthread_kill", "running", "-", ">=2.34", handle_case},
    {"pthread_kill-0", "running", "-", ">=2.34", handle_case},
    {"pthread_sigqueue", "running", "-", "never", handle_case},
    {"pthread_cancel", "running", "-", ">=2.34", handle_case},
    {"pthread_detach", "running", "-", "always", handle_case},
    {"tgkill", "running", "-", "never", handle_case},
    {"handle", "reused", "-", "always", reused_case},
    {"pthread_cond_signal", "waiting", "-", "always", cond_case},
    {"pthread_cond_broadcast", "waiting", "-", "<2.41", cond_case},
    {"pthread_cond_timedwait", "waiting", "-", "always", cond_case},
    {"pthread_cond_destroy", "waiting", "-", "always", cond_case},
    {"pthread_cond_all", "waiting", "-", "always", cond_case},
    {"cnd_signal", "waiting", "-", "always", cond_case},
    {"cnd_broadcast", "waiting", "-", "<2.41", cond_case},
    {"cnd_destroy", "waiting", "-", "always", cond_case},
    {"pthread_barrier_wait", "waiting", "-", "always", barrier_case},
    {"pthread_barrier_destroy", "waiting", "-", "always", barrier_case},
    {"std::thread::join", "running", "-", ">=2.43", std_thread_case},
    {"std::thread::detach", "running", "-", "never", std_thread_case},
    {"std::future", "running", "-", ">=2.43", future_case},
    {"std::condition_variable", "waiting", "-", "always", condition_case},
#if __has_include(<semaphore>)
    {"std::counting_semaphore", "waiting", "-", "never", counting_case},
#endif
    {"pthread_once", "inside", "-", "never", initialiser_case},
    {"static-initialiser", "inside", "reset", "always", initialiser_case},
    {"dl_iterate_phdr", "inside", "-", "always", loader_case},
    {"throw", "inside", "-", "<2.35", loader_case},
    {"dl_iterate_phdr", "own", "-", "always", loader_own_case},
    {"throw", "own", "-", "<2.35", loader_own_case},
};

}  // namespace

int main(int count, char** arguments) {
  if (count == 2 && is(arguments[1], "list")) {
    for (const Case& c : kCases) printf("%s %s %s %s\n", c.name, c.state, c.setting, c.harm);
    return 0;
  }
  if (count != 3) victim::set_up_failed("usage: primitive NAME STATE");
  name = arguments[1];
  state = arguments[2];
  for (const Case& c : kCases) {
    if (is(c.name, name) && is(c.state, state)) _exit(c.run());
  }
  victim::set_up_failed("no such case");
}
