// Locks that cannot be seen: a thread inside one of these is never stopped at the gate, since what
// it holds (the loader's list, a stream, a half-run initialiser) others need. Without these counts
// 3 of 31 children of a busy pool hung (FACTS, "The gate beside other allocators").
//
// dlopen and dlclose are not here: libc finds the caller's search path from the return address, and
// an interposer that comes back from the call would stand in its place.
#include <link.h>

#include "shim/interpose/interpose.h"
#include "shim/reporting/modules.h"
#include "shim/threads/thread.h"

using namespace forkmend;

namespace {

class Invisible {
 public:
  Invisible() : thread_(threads::self()) {
    if (thread_ != nullptr) thread_->invisible.fetch_add(1, std::memory_order_relaxed);
  }
  ~Invisible() {
    if (thread_ != nullptr) thread_->invisible.fetch_sub(1, std::memory_order_relaxed);
  }
  Invisible(const Invisible&) = delete;
  Invisible& operator=(const Invisible&) = delete;

 private:
  Thread* thread_;
};

}  // namespace

FORKMEND_EXPORT int dl_iterate_phdr(int (*callback)(dl_phdr_info*, size_t, void*), void* data) {
  const Invisible invisible;
  modules::enter_iteration();
  const int result = real().dl_iterate_phdr(callback, data);
  modules::leave_iteration();
  return result;
}

FORKMEND_EXPORT int pthread_once(pthread_once_t* once, void (*routine)()) {
  if (quiet()) return real_functions.pthread_once(once, routine);
  const Invisible invisible;
  return real().pthread_once(once, routine);
}
