#include "shim/threads/kernel_state.h"

#include <string_view>

#include "shim/base/syscall.h"

namespace forkmend {
namespace {

// Reads a small /proc file; the text ends with a NUL. Returns its size, 0 if there is none.
template <std::size_t Size>
std::size_t read_file(TextSpan& path, char (&buffer)[Size]) {
  path.append('\0');
  const long fd = sys::open(path.data(), O_RDONLY);
  if (fd < 0) return 0;
  const long n = sys::read(static_cast<int>(fd), buffer, Size - 1);
  sys::close(static_cast<int>(fd));
  buffer[n > 0 ? n : 0] = '\0';
  return n > 0 ? static_cast<std::size_t>(n) : 0;
}

template <std::size_t Size>
std::size_t read_task_file(int tid, const char* file, char (&buffer)[Size]) {
  Text<64> path;
  return read_file(path.format("/proc/self/task/{}/{}", tid, file), buffer);
}

// Takes " 0x1f" off the front.
std::uintptr_t next_hex(std::string_view& text) {
  const std::size_t start = text.find("0x");
  if (start == std::string_view::npos) return 0;
  text.remove_prefix(start + 2);
  std::uintptr_t value = 0;
  while (!text.empty()) {
    const char c = text[0];
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) break;
    value = value << 4 | static_cast<unsigned>(digit);
    text.remove_prefix(1);
  }
  return value;
}

// "NR ARG0 … ARG5 SP PC", "-1 SP PC" where it is in no call but blocked, or "running".
KernelActivity parse_activity(std::string_view text) {
  KernelActivity result{-1, 0, 0, 0};
  if (text.empty() || text[0] < '0' || text[0] > '9') return result;
  long number = 0;
  while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
    number = number * 10 + (text[0] - '0');
    text.remove_prefix(1);
  }
  result.syscall = number;
  std::uintptr_t words[8] = {};
  for (std::uintptr_t& word : words) word = next_hex(text);
  result.argument = words[0];
  result.sp = words[6];
  result.address = words[7];
  return result;
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
  return parse_activity({buffer, read_task_file(tid, "syscall", buffer)});
}

KernelActivity process_activity(int pid) {
  char buffer[256];
  Text<64> path;
  return parse_activity({buffer, read_file(path.format("/proc/{}/syscall", pid), buffer)});
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
