// pthread_atfork, which is a part of each library and comes to this. Prepare handlers run in the
// reverse order of their registration: the first handler that anybody registers brings ours with
// it, before it.
#include "shim/base/load.h"
#include "shim/forking/protocol.h"
#include "shim/interpose/interpose.h"

using namespace forkmend;

FORKMEND_EXPORT int __register_atfork(void (*prepare)(), void (*parent)(), void (*child)(),
                                      void* dso) {
  forking::install_handlers();
  return real().__register_atfork(prepare, parent, child, dso);
}
