#include "shim/reporting/utc.h"

namespace forkmend {

// Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days.
void append_utc(TextSpan& out, Nanoseconds wall) {
  const std::int64_t seconds = wall / kSecond;
  const std::int64_t days = seconds / 86400, rest = seconds % 86400;
  const std::int64_t z = days + 719468;
  const std::int64_t era = z / 146097;
  const std::int64_t doe = z - era * 146097;
  const std::int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const std::int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const std::int64_t mp = (5 * doy + 2) / 153;
  const std::int64_t day = doy - (153 * mp + 2) / 5 + 1;
  const std::int64_t month = mp < 10 ? mp + 3 : mp - 9;
  const std::int64_t year = yoe + era * 400 + (month <= 2 ? 1 : 0);
  out.format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", year, month, day, rest / 3600,
             rest / 60 % 60, rest % 60, wall % kSecond / kMillisecond);
}

}  // namespace forkmend
