#include "shim/threads/kernel_state.h"

#include <string_view>

#include "shim/base/syscall.h"

namespace forkmend {
namespace {

// Reads a small /proc file; the text ends with a NUL. Returns its size, 0 if there is none.
template <std::size_t Size>
std::size_t read_task_file(int tid, const char* file, char (&buffer)[Size]) {
  Text<64> path;
  path.format("/proc/self/task/{}/{}", tid, file).append('\0');
  const long fd = sys::open(path.data(), O_RDONLY);
  if (fd < 0) return 0;
  const long n = sys::read(static_cast<int>(fd), buffer, Size - 1);
  sys::close(static_cast<int>(fd));
  buffer[n > 0 ? n : 0] = '\0';
  return n > 0 ? static_cast<std::size_t>(n) : 0;
}

}  // namespace

char kernel_state_letter(int tid) {
  char buffer[256];
  const std::string_view text(buffer, read_task_file(tid, "stat", buffer));
  // "tid (comm) S …": comm may hold anything, so the last ')' counts.
  const std::size_t end = text.rfind(')');
  return end == std::string_view::npos || end + 2 >= text.size() ? '\0' : text[end + 2];
}

KernelActivity kernel_activity(int tid) {
  char buffer[256];
  const std::string_view text(buffer, read_task_file(tid, "syscall", buffer));
  KernelActivity result{-1, 0};
  if (text.empty() || text[0] < '0' || text[0] > '9') return result;
  result.syscall = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') break;
    result.syscall = result.syscall * 10 + (c - '0');
  }
  // The last word is the instruction pointer.
  std::size_t at = text.rfind("0x");
  for (at = at == std::string_view::npos ? text.size() : at + 2; at < text.size(); at++) {
    const char c = text[at];
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) break;
    result.address = result.address << 4 | static_cast<unsigned>(digit);
  }
  return result;
}

int count_tasks() {
  const long fd = sys::open("/proc/self/status", O_RDONLY);
  if (fd < 0) return -1;
  char buffer[4096];
  const long n = sys::read(static_cast<int>(fd), buffer, sizeof buffer);
  sys::close(static_cast<int>(fd));
  const std::string_view text(buffer, n > 0 ? static_cast<std::size_t>(n) : 0);
  constexpr std::string_view kKey = "\nThreads:\t";
  std::size_t at = text.find(kKey);
  if (at == std::string_view::npos) return -1;
  int count = 0;
  for (at += kKey.size(); at < text.size() && text[at] >= '0' && text[at] <= '9'; at++)
    count = count * 10 + (text[at] - '0');
  return count;
}

}  // namespace forkmend
