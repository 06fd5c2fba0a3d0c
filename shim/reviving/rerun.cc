#include "shim/reviving/rerun.h"

#include <string.h>

#include "shim/base/syscall.h"
#include "shim/python/bridge.h"

namespace forkmend::rerun {
namespace {

// malloc writes into what is freed: the link and the key of its cache lie in the first 16 bytes.
void read_argument(const Thread& t, Argument& out) {
  out = {};
  out.size = sys::copy_memory(out.bytes, t.argument, sizeof out.bytes);
}

}  // namespace

void note_argument(const Thread& t, Stack& s) { read_argument(t, s.argument); }

const char* obstacle(const Thread& t, const Stack& s) {
  if (t.start != nullptr && python::is_interpreters(reinterpret_cast<const void*>(t.start)))
    return "it runs the interpreter's start routine, which frees its argument";
  Argument present;
  read_argument(t, present);
  if (present.size != s.argument.size || memcmp(present.bytes, s.argument.bytes, present.size) != 0)
    return "what its start routine was given is no longer what it was: freed, or moved from";
  return nullptr;
}

}  // namespace forkmend::rerun
