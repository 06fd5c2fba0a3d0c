// UTC text of a CLOCK_REALTIME time. Promises: no libc (localtime takes a lock that may be
// orphaned).
#pragma once

#include "shim/base/clock.h"
#include "shim/base/text.h"

namespace forkmend {

// Appends "2026-11-21T14:02:31.482Z".
void append_utc(TextSpan& out, Nanoseconds wall);

}  // namespace forkmend
