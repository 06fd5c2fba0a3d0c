#include "shim/base/stderr.h"

#include <poll.h>

#include "shim/base/output.h"

namespace forkmend {

void write_to_stderr(std::string_view text) {
  pollfd descriptor{2, POLLOUT, 0};
  const timespec patience = to_timespec(kStderrPatience);
  const long ready = sys::call(SYS_ppoll, sys::arg(&descriptor), 1, sys::arg(&patience), 0, 0);
  // Where poll itself is refused (a seccomp filter), as if it were ready. POLLERR: nobody reads.
  if (ready == 0 || (ready > 0 && (descriptor.revents & (POLLERR | POLLNVAL)) != 0)) return;
  sys::write_unasked(2, text.data(), text.size());
}

}  // namespace forkmend
