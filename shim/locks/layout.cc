#include "shim/locks/layout.h"

#include <string.h>

#include <atomic>

#include "shim/base/real.h"
#include "shim/base/syscall.h"
#include "shim/reporting/event.h"

namespace forkmend::layout {
namespace {

// glibc's struct pthread_barrier (nptl/internaltypes.h), in 32-bit words.
enum BarrierWord : std::uint8_t {
  kBarrierIn,
  kBarrierRound,
  kBarrierCount,
  kBarrierShared,
  kBarrierOut
};

std::atomic<bool> probed{false};
bool mutex_ok, robust_ok, rwlock_ok, cond_ok, sem_ok, barrier_ok;
pthread_spinlock_t open_spin;
int cond_flag_word;  // index of the 32-bit word

// The words of a read-write lock that its writer has just taken.
struct WriteLocked {
  unsigned readers, wrphase_futex, writers_futex;
} write_locked;

std::uint32_t word_of(const void* object, int index) {
  return __atomic_load_n(static_cast<const std::uint32_t*>(object) + index, __ATOMIC_RELAXED);
}
void set_word(void* object, int index, std::uint32_t value) {
  __atomic_store_n(static_cast<std::uint32_t*>(object) + index, value, __ATOMIC_RELAXED);
}

// A lock taken by this thread must show a lock word, this tid as owner and the kind.
bool probe_mutex() {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_t m;
  pthread_mutex_init(&m, &attributes);
  const bool fresh = !looks_locked(&m) && mutex_owner(&m) == 0 && !mutex_shared(&m);
  real().pthread_mutex_lock(&m);
  const bool locked = looks_locked(&m) && mutex_owner(&m) == sys::gettid() &&
                      (m.__data.__kind & 3) == PTHREAD_MUTEX_RECURSIVE;
  mutex_open(&m);
  const bool opened = real().pthread_mutex_trylock(&m) == 0 && real().pthread_mutex_unlock(&m) == 0;
  return fresh && locked && opened;
}

// The head of the calling thread's list of robust mutexes, as the kernel has it. Links lead to the
// forward link of the next one; before it lies its back link.
void** robust_head() {
  void** head = nullptr;
  std::size_t size = 0;
  const long result = sys::call(SYS_get_robust_list, 0, sys::arg(&head), sys::arg(&size));
  return result == 0 ? head : nullptr;
}

bool probe_robust() {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_t m;
  pthread_mutex_init(&m, &attributes);
  void** head = robust_head();
  if (head == nullptr) return false;
  const int tid = sys::gettid();
  void* const before = head[0];
  real().pthread_mutex_lock(&m);
  const bool listed = mutex_robust(&m) && m.__data.__lock == tid && mutex_owner(&m) == tid &&
                      head[0] == &m.__data.__list.__next &&
                      static_cast<void*>(m.__data.__list.__next) == before &&
                      static_cast<void*>(m.__data.__list.__prev) == head;
  real().pthread_mutex_unlock(&m);
  return listed && head[0] == before;
}

bool probe_rwlock() {
  pthread_rwlock_t l = PTHREAD_RWLOCK_INITIALIZER;
  real().pthread_rwlock_rdlock(&l);
  const bool read = rwlock_readers(&l) == 1 && rwlock_writer(&l) == 0;
  real().pthread_rwlock_unlock(&l);
  real().pthread_rwlock_wrlock(&l);
  const bool written = rwlock_readers(&l) == 0 && rwlock_writer(&l) == sys::gettid() &&
                       l.__data.__writers == 0 && !rwlock_shared(&l);
  write_locked = {l.__data.__readers, l.__data.__wrphase_futex, l.__data.__writers_futex};
  real().pthread_rwlock_unlock(&l);
  if (!read || !written) return false;
  // What we write is what libc reads: taken, free, and read by two.
  rwlock_rewrite(&l, 0, sys::gettid());
  const bool busy = real().pthread_rwlock_tryrdlock(&l) != 0;
  const bool given = real().pthread_rwlock_unlock(&l) == 0;
  rwlock_rewrite(&l, 2, 0);
  real().pthread_rwlock_unlock(&l);
  const bool still_read = real().pthread_rwlock_trywrlock(&l) != 0;
  real().pthread_rwlock_unlock(&l);
  const bool opened = real().pthread_rwlock_trywrlock(&l) == 0;
  if (opened) real().pthread_rwlock_unlock(&l);
  return busy && given && still_read && opened;
}

// A process-shared condition variable on CLOCK_MONOTONIC has 3 in its flag word, 0 elsewhere.
bool probe_cond() {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_t c;
  memset(&c, 0, sizeof c);
  pthread_cond_init(&c, &attributes);
  std::uint32_t words[sizeof c / 4];
  memcpy(words, &c, sizeof c);
  int found = 0;
  for (unsigned i = 0; i < sizeof c / 4; i++) {
    if (words[i] == 0) continue;
    if (words[i] != 3) return false;
    cond_flag_word = static_cast<int>(i);
    found++;
  }
  return found == 1;
}

bool probe_sem() {
  sem_t private_one, shared_one;
  sem_init(&private_one, 0, 0);
  sem_init(&shared_one, 1, 0);
  return !sem_shared(&private_one) && sem_shared(&shared_one);
}

// One thread that comes to a barrier of one has been in and out of one round.
bool probe_barrier() {
  pthread_barrier_t b;
  constexpr unsigned kCount = 0x12345;
  if (pthread_barrier_init(&b, nullptr, kCount) != 0) return false;
  const bool counted = word_of(&b, kBarrierCount) == kCount && word_of(&b, kBarrierIn) == 0 &&
                       word_of(&b, kBarrierOut) == 0 && word_of(&b, kBarrierShared) == 0;
  if (!counted || pthread_barrier_init(&b, nullptr, 1) != 0) return false;
  real().pthread_barrier_wait(&b);
  return word_of(&b, kBarrierIn) == 1 && word_of(&b, kBarrierRound) == 1 &&
         word_of(&b, kBarrierOut) == 1;
}

void say_off(bool known, const char* feature, const char* type) {
  if (known) return;
  Text<96> reason;
  reason.format("this libc's {} is not laid out as known", type);
  report_off(feature, reason.view());
}

}  // namespace

void probe() {
  if (probed.load(std::memory_order_acquire)) return;
  mutex_ok = probe_mutex();
  robust_ok = mutex_ok && probe_robust();
  rwlock_ok = probe_rwlock();
  cond_ok = probe_cond();
  sem_ok = probe_sem();
  barrier_ok = probe_barrier();
  pthread_spin_init(&open_spin, PTHREAD_PROCESS_PRIVATE);
  probed.store(true, std::memory_order_release);
  say_off(mutex_ok, "orphaned mutexes", "pthread_mutex_t");
  say_off(robust_ok, "robust mutexes held by the forking thread", "list of robust mutexes");
  say_off(rwlock_ok, "orphaned read-write locks", "pthread_rwlock_t");
  say_off(cond_ok, "condition variables", "pthread_cond_t");
  say_off(sem_ok, "semaphores", "sem_t");
  say_off(barrier_ok, "barriers", "pthread_barrier_t");
}

bool mutex_known() { return mutex_ok; }

int own_tid() {
  if (!mutex_ok) return sys::gettid();
  pthread_mutex_t m = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
  real().pthread_mutex_lock(&m);
  const int tid = mutex_owner(&m);
  real().pthread_mutex_unlock(&m);
  return tid;
}

bool robust_known() { return robust_ok; }
bool rwlock_known() { return rwlock_ok; }
bool cond_known() { return cond_ok; }
bool sem_known() { return sem_ok; }
bool barrier_known() { return barrier_ok; }

void mutex_open(pthread_mutex_t* m) {
  int open = 0;
  if ((m->__data.__kind & kPriorityCeiling) != 0) open = m->__data.__lock & kCeiling;
  if (mutex_robust(m)) {
    open = FUTEX_OWNER_DIED;  // __nusers stays: libc discounts the dead owner itself
  } else {
    m->__data.__nusers = 0;
  }
  m->__data.__owner = 0;
  m->__data.__count = 0;
  __atomic_store_n(&m->__data.__lock, open, __ATOMIC_RELEASE);
}

namespace {

// The lock word of a robust or PI mutex names the owner; waiters may set their bit meanwhile.
void rename_owner(int* word, int former, int tid) {
  int seen = __atomic_load_n(word, __ATOMIC_RELAXED);
  while ((seen & FUTEX_TID_MASK) == former &&
         !__atomic_compare_exchange_n(word, &seen, (seen & ~FUTEX_TID_MASK) | tid, false,
                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
}

// What libc's ENQUEUE_MUTEX does. fork emptied the child's list.
void enlist(pthread_mutex_t* m) {
  void** head = robust_head();
  if (head == nullptr) return;
  auto& node = m->__data.__list;
  void** const pending = head + 2;  // struct robust_list_head: list, futex_offset, list_op_pending
  *pending = &node.__next;
  const auto first = reinterpret_cast<std::uintptr_t>(head[0]) & ~std::uintptr_t{1};
  reinterpret_cast<void**>(first)[-1] = &node.__next;  // its back link
  node.__next = static_cast<decltype(node.__next)>(head[0]);
  node.__prev = reinterpret_cast<decltype(node.__prev)>(head);
  const std::uintptr_t inherits_priority = mutex_inherits_priority(m) ? 1 : 0;
  head[0] =
      reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(&node.__next) | inherits_priority);
  *pending = nullptr;
}

}  // namespace

void mutex_inherit(pthread_mutex_t* m, int former, int tid, bool by_owner) {
  const bool robust = mutex_robust(m);
  if (robust || mutex_inherits_priority(m)) rename_owner(&m->__data.__lock, former, tid);
  if (robust && !by_owner) return;
  if (robust) enlist(m);
  __atomic_store_n(&m->__data.__owner, tid, __ATOMIC_RELAXED);
}

int spin_open() { return open_spin; }

void rwlock_rewrite(pthread_rwlock_t* l, unsigned readers, int writer) {
  auto& d = l->__data;
  const bool is_written = writer != 0;
  d.__writers = 0;
  d.__wrphase_futex = is_written ? write_locked.wrphase_futex : 0;
  d.__writers_futex = is_written ? write_locked.writers_futex : 0;
  d.__cur_writer = writer;
  __atomic_store_n(&d.__readers, is_written ? write_locked.readers : readers << kReaderShift,
                   __ATOMIC_RELEASE);
}

bool cond_shared(const pthread_cond_t* c) { return (word_of(c, cond_flag_word) & 1) != 0; }

void cond_renew(pthread_cond_t* c) {
  constexpr std::uint32_t kFlags = 3;  // above them libc counts the waiters in the same word
  const std::uint32_t flags = word_of(c, cond_flag_word) & kFlags;
  memset(c, 0, sizeof(pthread_cond_t));
  set_word(c, cond_flag_word, flags);
}

bool sem_shared(const sem_t* s) { return word_of(s, 2) != 0; }

bool barrier_shared(const pthread_barrier_t* b) { return word_of(b, kBarrierShared) != 0; }

void barrier_forget_waiters(pthread_barrier_t* b) {
  set_word(b, kBarrierOut, word_of(b, kBarrierIn));
}

}  // namespace forkmend::layout
