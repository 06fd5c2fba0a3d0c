// Locks that cannot be seen: a thread inside one of these is never stopped at the gate, since what
// it holds (the loader's list, a stream, a half-run initialiser) others need. Without these counts
// 3 of 31 children of a busy pool beside jemalloc hung.
//
// dlopen and dlclose are not here: libc finds the caller's search path from the return address, and
// an interposer that comes back from the call would stand in its place.
#include <link.h>
#include <stdio.h>

#include "shim/interpose/interpose.h"
#include "shim/reporting/modules.h"
#include "shim/threads/thread.h"

using namespace forkmend;

namespace {

class Invisible {
 public:
  Invisible() : thread_(threads::self()) { threads::enter_invisible(thread_); }
  ~Invisible() { threads::leave_invisible(thread_); }
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

// What stdio locks from inside (printf) is given back before it returns; these are held between
// calls. In the child libc itself opens all streams.
FORKMEND_EXPORT void flockfile(FILE* stream) {
  threads::enter_invisible(threads::self());
  real().flockfile(stream);
}

FORKMEND_EXPORT int ftrylockfile(FILE* stream) {
  const int result = real().ftrylockfile(stream);
  if (result == 0) threads::enter_invisible(threads::self());
  return result;
}

FORKMEND_EXPORT void funlockfile(FILE* stream) {
  real().funlockfile(stream);
  threads::leave_invisible(threads::self());
}
