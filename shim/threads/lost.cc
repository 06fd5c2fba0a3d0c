#include "shim/threads/lost.h"

#include <errno.h>

#include "shim/base/armed.h"
#include "shim/base/real.h"
#include "shim/base/syscall.h"
#include "shim/forking/protocol.h"
#include "shim/reviving/trigger.h"
#include "shim/threads/stacks.h"
#include "shim/waiting/watch.h"

namespace forkmend::threads {
namespace {

bool any_lost() {
  if (child_unannounced()) forking::notice_child();
  return watch::needed();
}

// A thread that was created and had not begun yet does not know its handle itself: a handle is an
// address on the thread's stack. Where that is libc's, what the creator was told is all there is,
// and it may have moved it since, as a growing vector of std::thread does.
bool has_handle(const Thread& t, pthread_t handle) {
  if (t.handle != 0 || is_live(t)) return pthread_equal(t.handle, handle);
  if (const Stack* s = t.stack.load()) return stacks::holds(*s, handle);
  pthread_t told = 0;
  return sys::copy_memory(&told, t.handle_at, sizeof told) == sizeof told &&
         pthread_equal(told, handle);
}

}  // namespace

Thread* lost_with_handle(pthread_t handle) {
  Thread* found = nullptr;
  bool alive = false;
  for_each([&](Thread& t) {
    if (t.state.load() == ThreadState::free || !has_handle(t, handle)) return true;
    if (is_live(t)) {
      alive = true;
    } else if (found == nullptr || !t.settled.load(std::memory_order_relaxed)) {
      found = &t;
    }
    return !alive;
  });
  return alive ? nullptr : found;
}

int refuse_lost(pthread_t handle) {
  if (!any_lost()) return 0;
  trigger::on_act(handle);
  return lost_with_handle(handle) != nullptr ? ESRCH : 0;
}

bool settle_lost(pthread_t handle, void** result, int& error) {
  if (!any_lost()) return false;
  Thread* t = lost_with_handle(handle);
  if (t == nullptr) return false;
  error = t->settled.exchange(true) ? ESRCH : 0;
  if (error != 0) return true;
  if (result != nullptr) *result = nullptr;
  // The thread that kept the handle taken (apart.h): it ended long ago.
  if (t->kept.exchange(false)) real().pthread_detach(handle);
  return true;
}

int detach(pthread_t handle) {
  int error = 0;
  if (!settle_lost(handle, nullptr, error)) error = real().pthread_detach(handle);
  if (error == 0) stacks::detached(handle);
  return error;
}

}  // namespace forkmend::threads
