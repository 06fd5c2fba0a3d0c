#include "shim/locks/layout.h"

#include <string.h>

#include <atomic>

#include "shim/base/real.h"
#include "shim/base/syscall.h"
#include "shim/reporting/event.h"

namespace forkmend::layout {
namespace {

std::atomic<bool> probed{false};
bool mutex_ok, cond_ok, sem_ok;
int cond_flag_word;  // index of the 32-bit word

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

}  // namespace

void probe() {
  if (probed.load(std::memory_order_acquire)) return;
  mutex_ok = probe_mutex();
  cond_ok = probe_cond();
  sem_ok = probe_sem();
  probed.store(true, std::memory_order_release);
  if (!mutex_ok)
    report_off("orphaned mutexes", "this libc's pthread_mutex_t is not laid out as known");
  if (!cond_ok)
    report_off("condition variables", "this libc's pthread_cond_t is not laid out as known");
  if (!sem_ok) report_off("semaphores", "this libc's sem_t is not laid out as known");
}

bool mutex_known() { return mutex_ok; }
bool cond_known() { return cond_ok; }
bool sem_known() { return sem_ok; }

bool cond_shared(const pthread_cond_t* c) {
  std::uint32_t flags;
  memcpy(&flags, reinterpret_cast<const char*>(c) + 4 * cond_flag_word, sizeof flags);
  return (flags & 1) != 0;
}

bool sem_shared(const sem_t* s) {
  std::uint32_t word;
  memcpy(&word, reinterpret_cast<const char*>(s) + 8, sizeof word);
  return word != 0;
}

}  // namespace forkmend::layout
