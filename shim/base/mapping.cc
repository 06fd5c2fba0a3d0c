#include "shim/base/mapping.h"

#include "shim/base/syscall.h"

namespace forkmend {
namespace {

// "LO-HI rwxp …": reads the hexadecimal number at `at` and moves behind it.
std::uintptr_t read_hex(const char*& at) {
  std::uintptr_t value = 0;
  for (;; at++) {
    const char c = *at;
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return value;
    value = value << 4 | static_cast<unsigned>(digit);
  }
}

// Enough for the two addresses and the flags: 16 + 1 + 16 + 1 + 4.
constexpr int kHead = 40;

}  // namespace

Mapping mapping_of(const void* address) {
  Mapping result{0, 0, true};
  const long fd = sys::open("/proc/self/maps", O_RDONLY);
  if (fd < 0) return result;
  char buffer[1024] = {}, head[kHead + 1] = {};
  int in_line = 0;
  bool found = false;
  for (long n; !found && (n = sys::read(static_cast<int>(fd), buffer, sizeof buffer)) > 0;) {
    for (long i = 0; i < n && !found; i++) {
      if (buffer[i] == '\n') {
        in_line = 0;
        continue;
      }
      if (in_line < kHead) head[in_line] = buffer[i];
      if (++in_line != kHead) continue;
      head[kHead] = '\0';
      const char* at = head;
      const std::uintptr_t begin = read_hex(at);
      const std::uintptr_t end = read_hex(++at);
      const Mapping seen{begin, end, at[4] == 's'};  // " rw-s"
      found = seen.holds(address);
      if (found) result = seen;
    }
  }
  sys::close(static_cast<int>(fd));
  return result;
}

bool in_shared_memory(const void* address) { return mapping_of(address).is_shared; }

}  // namespace forkmend
