// A pool of consumers as a library would have it, registered with forkmend: a bounded queue, a
// mutex, a condition variable for the consumers, a semaphore for the producers. Without the shim
// the calls of forkmend.h do nothing, and the pool breaks in a forked child.
//
// The invariant: whoever holds the mutex sees credit + debit == 0, and as many jobs in the ring as
// its ends say. A consumer breaks and restores it while it holds the mutex.
#pragma once

#include <pthread.h>
#include <semaphore.h>

#include <atomic>

#include "include/forkmend/forkmend.h"
#include "tests/programs/victim.h"

namespace victim {

class Pool {
 public:
  static constexpr int kRing = 64;

  explicit Pool(int threads, size_t stack = 64 * 1024) : threads_(threads), stack_(stack) {
    pthread_mutex_init(&mutex_, nullptr);
    pthread_cond_init(&more_, nullptr);
    pthread_cond_init(&all_done_, nullptr);
    sem_init(&room_, 0, kRing);
    forkmend_callbacks callbacks{};
    callbacks.size = sizeof callbacks;
    callbacks.before_fork = [](void* self) { of(self).before_forks_++; };
    callbacks.child = [](void* self) { of(self).on_child(); };
    callbacks.respawn = [](void* self) { return of(self).respawn(); };
    callbacks.stop = [](void* self) { of(self).stop(); };
    runtime_ = forkmend_register("pool", &callbacks, this);
    adopted_ = forkmend_adopt_lock(runtime_, FORKMEND_MUTEX, &mutex_) |
               forkmend_adopt_lock(runtime_, FORKMEND_COND, &more_) |
               forkmend_adopt_lock(runtime_, FORKMEND_COND, &all_done_) |
               forkmend_adopt_lock(runtime_, FORKMEND_SEM, &room_);
    if (adopted_ != 0 || start() != 0) set_up_failed("pool");
  }

  // Hands over a job that spins for so many nanoseconds. Returns what enqueue returned.
  int submit(long work_ns) {
    const int error = forkmend_enqueue(runtime_);
    while (sem_wait(&room_) != 0) {
    }
    pthread_mutex_lock(&mutex_);
    ring_[end_++ % kRing] = work_ns;
    submitted_++;
    pthread_cond_signal(&more_);
    pthread_mutex_unlock(&mutex_);
    return error;
  }

  // Waits until everything that was submitted is done. False if that takes longer than ms.
  bool finish(long ms) {
    timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1'000'000;
    if (until.tv_nsec >= 1'000'000'000) {
      until.tv_sec++;
      until.tv_nsec -= 1'000'000'000;
    }
    pthread_mutex_lock(&mutex_);
    int error = 0;
    while (done_ < submitted_ && error == 0)
      error = pthread_cond_timedwait(&all_done_, &mutex_, &until);
    const bool all = done_ == submitted_;
    pthread_mutex_unlock(&mutex_);
    return all;
  }

  // True if the invariant holds, looked at under the mutex.
  bool is_whole() {
    pthread_mutex_lock(&mutex_);
    const bool whole = credit_ + debit_ == 0 && end_ - begin_ >= 0 && end_ - begin_ <= kRing;
    pthread_mutex_unlock(&mutex_);
    return whole;
  }

  // The whole of what a process does with its pool: 0, or a code for the step that failed.
  int use(int jobs, long work_ns, long ms) {
    if (!is_whole()) return 11;
    for (int i = 0; i < jobs; i++) {
      if (submit(work_ns) != 0) return 12;
    }
    if (!finish(ms)) return 13;
    return is_whole() ? 0 : 14;
  }

  int respawns() const { return respawns_.load(); }
  int before_forks() const { return before_forks_.load(); }
  int stops() const { return stops_.load(); }
  bool has_shim() const { return runtime_ != nullptr; }
  pthread_mutex_t* mutex() { return &mutex_; }
  forkmend_runtime* runtime() { return runtime_; }

  // Called in respawn, before threads are started: what else the program wants to see.
  int (*on_respawn)() = nullptr;

 private:
  static Pool& of(void* self) { return *static_cast<Pool*>(self); }

  // Stores only. The jobs in the ring are the parent's; the child begins with an empty one.
  void on_child() {
    begin_ = end_ = 0;
    stopping_ = false;
    submitted_ = done_ = 0;
    respawns_.store(0);
  }

  int respawn() {
    respawns_++;
    if (on_respawn != nullptr) {
      if (const int error = on_respawn()) return error;
    }
    return start();
  }

  // Starts what is missing of the threads: a respawn that failed half way is tried again. Returns
  // when all have adopted themselves: a fork before that would know nothing of them.
  int start() {
    if (started_in_ != getpid()) {
      running_ = 0;
      adopted_threads_.store(0);
    }
    started_in_ = getpid();
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int error = 0;
    while (running_ < threads_ && error == 0) {
      pthread_t thread;
      error = pthread_create(&thread, &attributes, consume, this);
      if (error == 0) running_++;
    }
    pthread_attr_destroy(&attributes);
    while (adopted_threads_.load() < running_) sched_yield();
    return error;
  }

  // The threads that are idle, or will be: they end.
  void stop() {
    stops_++;
    pthread_mutex_lock(&mutex_);
    stopping_ = true;
    pthread_cond_broadcast(&more_);
    pthread_mutex_unlock(&mutex_);
  }

  static void* consume(void* self) {
    of(self).work();
    return nullptr;
  }

  void work() {
    if (forkmend_adopt_thread(runtime_) != 0) _exit(90);
    adopted_threads_++;
    pthread_mutex_lock(&mutex_);
    for (;;) {
      while (begin_ == end_ && !stopping_) pthread_cond_wait(&more_, &mutex_);
      if (begin_ == end_) break;
      const long work_ns = ring_[begin_++ % kRing];
      const long amount = ++sequence_;
      credit_ += amount;  // the invariant is broken from here …
      const long until = now_ns() + work_ns;
      while (now_ns() < until) {
      }
      debit_ -= amount;  // … to here, and the mutex is held
      pthread_mutex_unlock(&mutex_);
      sem_post(&room_);
      pthread_mutex_lock(&mutex_);
      if (++done_ == submitted_) pthread_cond_broadcast(&all_done_);
    }
    pthread_mutex_unlock(&mutex_);
  }

  pthread_mutex_t mutex_;
  pthread_cond_t more_, all_done_;
  sem_t room_;
  long ring_[kRing] = {};
  long begin_ = 0, end_ = 0;
  long submitted_ = 0, done_ = 0;
  long credit_ = 0, debit_ = 0, sequence_ = 0;
  bool stopping_ = false;
  std::atomic<int> respawns_{0}, before_forks_{0}, stops_{0}, adopted_threads_{0};
  forkmend_runtime* runtime_ = nullptr;
  int adopted_ = 0;
  const int threads_;
  const size_t stack_;
  int running_ = 0;
  pid_t started_in_ = 0;
};

}  // namespace victim
