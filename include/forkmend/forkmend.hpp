// forkmend for C++: the calls of forkmend.h as one object.
//
// Promises: header-only, C++17 and later; does nothing when libforkmend.so is not loaded. An
// exception that leaves `respawn` becomes its errno value: std::thread's EAGAIN is tried again at
// the next enqueue. The other callbacks must not throw.
// Does not: copy or move; the callbacks may refer to the object that owns the runtime.
//
//   class pool {
//     std::mutex mutex_;
//     std::condition_variable more_;
//     forkmend::runtime runtime_{"my-pool", {nullptr, nullptr, [this] { return start(); },
//     nullptr}}; pool() { runtime_.adopt(mutex_); runtime_.adopt(more_); start(); } void work() {
//     runtime_.adopt_this_thread(); ... } void submit(job j) { runtime_.enqueue(); ... }
//   };
#pragma once

#include <pthread.h>
#include <semaphore.h>

#include <cerrno>
#include <functional>
#include <new>
#include <system_error>
#include <utility>

#include "forkmend.h"

namespace forkmend {

// All optional; when each is called is said in forkmend.h. With C++20: {.respawn = [] { … }}.
struct callbacks {
  std::function<void()> before_fork = nullptr;
  std::function<void()> child = nullptr;   // on child entry: stores only
  std::function<int()> respawn = nullptr;  // 0 or an errno value
  std::function<void()> stop = nullptr;
};

class runtime {
 public:
  explicit runtime(const char* name, callbacks functions = {}) : functions_(std::move(functions)) {
    forkmend_callbacks raw{};
    raw.size = sizeof raw;
    if (functions_.before_fork) raw.before_fork = [](void* self) { of(self).before_fork(); };
    if (functions_.child) raw.child = [](void* self) { of(self).child(); };
    if (functions_.respawn) raw.respawn = [](void* self) { return guarded(of(self).respawn); };
    if (functions_.stop) raw.stop = [](void* self) { of(self).stop(); };
    handle_ = forkmend_register(name, &raw, &functions_);
  }
  ~runtime() { forkmend_unregister(handle_); }
  runtime(const runtime&) = delete;
  runtime& operator=(const runtime&) = delete;

  // A freshly initialised lock, by libc's type or by an object whose native_handle() is one
  // (std::mutex, std::condition_variable …). Returns 0 or an errno value.
  int adopt(pthread_mutex_t* mutex) { return adopt(FORKMEND_MUTEX, mutex); }
  int adopt(pthread_cond_t* cond) { return adopt(FORKMEND_COND, cond); }
  int adopt(pthread_rwlock_t* lock) { return adopt(FORKMEND_RWLOCK, lock); }
  int adopt(sem_t* semaphore) { return adopt(FORKMEND_SEM, semaphore); }
  template <class Lock>
  auto adopt(Lock& lock) -> decltype(adopt(lock.native_handle())) {
    return adopt(lock.native_handle());
  }

  // Called by a thread of the runtime, first.
  int adopt_this_thread() { return forkmend_adopt_thread(handle_); }

  // Before work is handed over. 0, or what respawn returned.
  int enqueue() { return forkmend_enqueue(handle_); }

  // True in a process that lost the runtime's threads and has not brought them back.
  bool lost() const {
    return handle_ != nullptr && __atomic_load_n(&handle_->lost, __ATOMIC_RELAXED) != 0;
  }

  // False without the shim.
  explicit operator bool() const { return handle_ != nullptr; }

 private:
  static callbacks& of(void* self) { return *static_cast<callbacks*>(self); }

  // Nothing may be thrown through the shim and its C callers.
  static int guarded(const std::function<int()>& respawn) noexcept {
    try {
      return respawn();
    } catch (const std::bad_alloc&) {
      return ENOMEM;
    } catch (const std::system_error& error) {
      return error.code().value() != 0 ? error.code().value() : EAGAIN;
    } catch (...) {
      return ECANCELED;
    }
  }

  int adopt(forkmend_lock_kind kind, void* lock) {
    return forkmend_adopt_lock(handle_, kind, lock);
  }

  callbacks functions_;
  forkmend_runtime* handle_;
};

}  // namespace forkmend
