// Waiting for time.
#include "shim/interpose/interpose.h"
#include "shim/waiting/waits.h"

using namespace forkmend;

FORKMEND_EXPORT int nanosleep(const timespec* time, timespec* left) {
  return waiting::nanosleep(time, left, FORKMEND_CALLER);
}

FORKMEND_EXPORT int clock_nanosleep(clockid_t clock, int flags, const timespec* time,
                                    timespec* left) {
  return waiting::clock_nanosleep(clock, flags, time, left, FORKMEND_CALLER);
}

FORKMEND_EXPORT int usleep(useconds_t time) { return waiting::usleep(time, FORKMEND_CALLER); }

FORKMEND_EXPORT unsigned sleep(unsigned seconds) {
  return waiting::sleep(seconds, FORKMEND_CALLER);
}
