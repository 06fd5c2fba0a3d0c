#include "shim/reviving/pages.h"

#include <errno.h>

#include <cstdint>

#include "shim/base/syscall.h"

namespace forkmend::pages {
namespace {

constexpr long kProcessMadvise = 440;  // the same on every architecture
constexpr long kThisThread = -10000;   // PIDFD_SELF_THREAD

// Other threads may write there too: nothing of theirs is lost.
void write_to(const iovec& range) {
  auto* from = static_cast<char*>(range.iov_base);
  for (std::size_t at = 0; at < range.iov_len; at += kPage)
    __atomic_fetch_add(from + at, 0, __ATOMIC_RELAXED);
}

void advise(const iovec& range, int advice) {
  const long result =
      sys::call(SYS_madvise, sys::arg(range.iov_base), static_cast<long>(range.iov_len), advice);
  if (result == -EINVAL && advice == MADV_POPULATE_WRITE) write_to(range);  // not known to it
}

}  // namespace

void Ranges::add(const char* from, const char* to) {
  const auto start = reinterpret_cast<std::uintptr_t>(from) & ~(kPage - 1);
  const auto end = (reinterpret_cast<std::uintptr_t>(to) + kPage - 1) & ~(kPage - 1);
  if (count_ > 0) {
    iovec& last = range_[count_ - 1];
    const auto last_start = reinterpret_cast<std::uintptr_t>(last.iov_base);
    const auto last_end = last_start + last.iov_len;
    if (start >= last_start && start <= last_end) {
      if (end > last_end) last.iov_len = end - last_start;
      return;
    }
  }
  if (count_ == kMost) apply();
  range_[count_++] = {reinterpret_cast<void*>(start), end - start};
}

void Ranges::apply() {
  if (count_ == 0) return;
  long wanted = 0;
  for (int i = 0; i < count_; i++) wanted += static_cast<long>(range_[i].iov_len);
  if (sys::call(kProcessMadvise, kThisThread, sys::arg(range_), count_, advice_, 0) != wanted) {
    for (int i = 0; i < count_; i++) advise(range_[i], advice_);
  }
  count_ = 0;
}

}  // namespace forkmend::pages
