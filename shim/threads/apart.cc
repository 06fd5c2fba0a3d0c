#include "shim/threads/apart.h"

#include <string.h>
#include <unistd.h>

#include "shim/threads/stacks.h"

namespace forkmend::threads {

Apart::Apart(const pthread_attr_t* attributes) : given_(attributes) {
  if (FORKMEND_LIKELY(!watch::needed())) return;
  std::size_t size = 0;
  if (stacks::given(attributes, size) != nullptr) return;
  if (attributes == nullptr) {
    if (pthread_getattr_default_np(&own_) != 0) return;
    own_is_ours_ = true;
  } else {
    memcpy(&own_, attributes, sizeof own_);  // as libc reads it; not destroyed
  }
  changed_ = true;
  if (pthread_attr_getstacksize(&own_, &size) == 0)
    pthread_attr_setstacksize(&own_, size + static_cast<std::size_t>(getpagesize()));
  int state = PTHREAD_CREATE_JOINABLE;
  pthread_attr_getdetachstate(&own_, &state);
  detached_ = state == PTHREAD_CREATE_DETACHED;
  pthread_attr_setdetachstate(&own_, PTHREAD_CREATE_JOINABLE);
}

Apart::~Apart() {
  if (own_is_ours_) pthread_attr_destroy(&own_);
}

}  // namespace forkmend::threads
