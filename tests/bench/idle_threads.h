// Threads that wait on a condition variable until they are let go, like idle workers of a pool.
#pragma once

#include <pthread.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

namespace bench {

class IdleThreads {
 public:
  // The first held.size() threads each hold one of these mutexes for as long as they live.
  explicit IdleThreads(int count, std::vector<pthread_mutex_t*> held = {})
      : held_(std::move(held)) {
    for (int i = 0; i < count; ++i) {
      pthread_t thread;
      if (pthread_create(&thread, nullptr, idle, this) != 0) {
        std::fprintf(stderr, "cannot create thread %d of %d\n", i + 1, count);
        std::exit(1);
      }
      threads_.push_back(thread);
    }
    wait_until_idle();
  }

  ~IdleThreads() {
    pthread_mutex_lock(&mutex_);
    leave_ = true;
    pthread_cond_broadcast(&changed_);
    pthread_mutex_unlock(&mutex_);
    for (pthread_t thread : threads_) pthread_join(thread, nullptr);
  }

  IdleThreads(const IdleThreads&) = delete;
  IdleThreads& operator=(const IdleThreads&) = delete;

 private:
  static void* idle(void* self) {
    static_cast<IdleThreads*>(self)->wait_to_leave();
    return nullptr;
  }

  void wait_to_leave() {
    pthread_mutex_lock(&mutex_);
    pthread_mutex_t* mine = arrived_ < held_.size() ? held_[arrived_] : nullptr;
    if (mine) pthread_mutex_lock(mine);
    ++arrived_;
    pthread_cond_signal(&arrival_);
    while (!leave_) pthread_cond_wait(&changed_, &mutex_);
    pthread_mutex_unlock(&mutex_);
    if (mine) pthread_mutex_unlock(mine);
  }

  // The mutex is free and everyone has arrived: all are in cond_wait, the last one perhaps not yet
  // asleep in it.
  void wait_until_idle() {
    pthread_mutex_lock(&mutex_);
    while (arrived_ < threads_.size()) pthread_cond_wait(&arrival_, &mutex_);
    pthread_mutex_unlock(&mutex_);
    usleep(2000);
  }

  std::vector<pthread_mutex_t*> held_;
  std::vector<pthread_t> threads_;
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t changed_ = PTHREAD_COND_INITIALIZER;
  pthread_cond_t arrival_ = PTHREAD_COND_INITIALIZER;
  std::size_t arrived_ = 0;
  bool leave_ = false;
};

}  // namespace bench
