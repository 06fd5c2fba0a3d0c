#include "shim/locks/orphan.h"

#include "shim/base/settings.h"
#include "shim/locks/layout.h"
#include "shim/reporting/event.h"

namespace forkmend::locks {
namespace {

// A tid of a lost thread may belong to a live one of this process by now: then it is no orphan.
const Thread* lost_thread_with(int tid) {
  if (tid == 0) return nullptr;
  const Thread* found = nullptr;
  bool alive = false;
  threads::for_each([&](Thread& t) {
    if (t.tid.load(std::memory_order_relaxed) != tid) return true;
    if (threads::is_live(t)) alive = true;
    if (threads::is_lost(t)) found = &t;
    return !alive;
  });
  return alive ? nullptr : found;
}

}  // namespace

const Thread* orphan_owner(const pthread_mutex_t* m) {
  if (!layout::mutex_known() || layout::mutex_shared(m)) return nullptr;
  return lost_thread_with(layout::mutex_owner(m));
}

const Thread* orphan_owner(const pthread_rwlock_t* l) {
  if (!layout::mutex_known() || layout::rwlock_shared(l)) return nullptr;
  return lost_thread_with(layout::rwlock_writer(l));
}

void open_orphan(pthread_mutex_t* m) {
  layout::mutex_open(m);
  if (settings.log == Log::info)
    say("opened mutex {}: its owner did not survive fork; what it guards may be half written",
        static_cast<const void*>(m));
}

}  // namespace forkmend::locks
