#include "shim/base/mapping.h"

#include "shim/base/spinlock.h"
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

// The kernel's answer for one address, from Linux 6.11 on: the text below takes it longer the more
// mappings there are, a hundred threads' stacks for one.
struct ProcmapQuery {  // struct procmap_query of linux/fs.h, whose first version this is
  std::uint64_t size, query_flags, query_addr;
  std::uint64_t vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
  std::uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
  std::uint64_t vma_name_addr, build_id_addr;
};
constexpr long kProcmapQuery = 0xc0686611;  // PROCMAP_QUERY: _IOWR('f', 17, struct procmap_query)
constexpr std::uint64_t kVmaShared = 8;     // PROCMAP_QUERY_VMA_SHARED
static_assert(sizeof(ProcmapQuery) == 0x68);

bool query(int maps, const void* address, Mapping& out) {
  ProcmapQuery q{};
  q.size = sizeof q;
  q.query_addr = reinterpret_cast<std::uintptr_t>(address);
  if (sys::call(SYS_ioctl, maps, kProcmapQuery, sys::arg(&q)) != 0) return false;
  out = {q.vma_start, q.vma_end, (q.vma_flags & kVmaShared) != 0};
  return true;
}

// Enough for the two addresses and the flags: 16 + 1 + 16 + 1 + 4.
constexpr int kHead = 40;

}  // namespace

Mapping mapping_of(const void* address) {
  spin::check_none_held();
  Mapping result{0, 0, true};
  const long fd = sys::open("/proc/self/maps", O_RDONLY);
  if (fd < 0) return result;
  if (query(static_cast<int>(fd), address, result)) {
    sys::close(static_cast<int>(fd));
    return result;
  }
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
