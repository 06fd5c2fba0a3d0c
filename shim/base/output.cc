#include "shim/base/output.h"

#include <errno.h>

#include "shim/base/signals.h"

namespace forkmend::sys {
namespace {

constexpr unsigned long kOfWriting =
    signal_bit(SIGPIPE) | signal_bit(SIGXFSZ) | signal_bit(SIGTTOU);

}  // namespace

long write_unasked(int fd, const void* text, std::size_t size) {
  const SignalsBlocked held(kOfWriting);
  unsigned long before = 0;
  call(SYS_rt_sigpending, arg(&before), sizeof before);
  const long written = write(fd, text, size);
  if (written != -EPIPE && written != -EFBIG) return written;
  // What has come of this write is taken off the list before it can be delivered.
  const unsigned long came = (signal_bit(SIGPIPE) | signal_bit(SIGXFSZ)) & ~before;
  const timespec at_once{0, 0};
  if (came != 0) call(SYS_rt_sigtimedwait, arg(&came), 0, arg(&at_once), sizeof came);
  return written;
}

}  // namespace forkmend::sys
