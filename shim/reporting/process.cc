#include "shim/reporting/process.h"

#include <string.h>
#include <sys/stat.h>

#include "shim/base/syscall.h"

namespace forkmend::process {
namespace {

std::size_t read_file(const char* path, char* buffer, std::size_t size) {
  const long fd = sys::open(path, O_RDONLY);
  if (fd < 0) return 0;
  const long n = sys::read(static_cast<int>(fd), buffer, size);
  sys::close(static_cast<int>(fd));
  return n > 0 ? static_cast<std::size_t>(n) : 0;
}

std::size_t read_link(const char* path, char* buffer, std::size_t size) {
  const long n = sys::call(SYS_readlinkat, AT_FDCWD, sys::arg(path), sys::arg(buffer),
                           static_cast<long>(size));
  return n > 0 ? static_cast<std::size_t>(n) : 0;
}

std::uint64_t to_number(std::string_view text) {
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') break;
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

}  // namespace

std::uint64_t start_ticks() {
  char buffer[1024];
  std::string_view text(buffer, read_file("/proc/self/stat", buffer, sizeof buffer));
  const std::size_t end = text.rfind(')');  // the name before it may hold anything
  if (end == std::string_view::npos) return 0;
  text.remove_prefix(end + 1);
  for (int field = 3; field <= 22; field++) {
    const std::size_t space = text.find(' ');
    if (space == std::string_view::npos) return 0;
    text.remove_prefix(space + 1);
  }
  return to_number(text);
}

std::uint64_t pid_namespace_inode() {
  char buffer[64];
  std::string_view text(buffer, read_link("/proc/self/ns/pid", buffer, sizeof buffer));
  const std::size_t open = text.find('[');  // "pid:[4026531836]"
  return open == std::string_view::npos ? 0 : to_number(text.substr(open + 1));
}

void read_line(const char* path, TextSpan& out) {
  char buffer[256];
  std::string_view text(buffer, read_file(path, buffer, sizeof buffer));
  out.append(text.substr(0, text.find('\n')));
}

void executable(TextSpan& out) {
  char buffer[448];
  out.append({buffer, read_link("/proc/self/exe", buffer, sizeof buffer)});
}

void argument_zero(TextSpan& out) {
  char buffer[256];
  const std::size_t n = read_file("/proc/self/cmdline", buffer, sizeof buffer - 1);
  buffer[n] = '\0';
  out.append(buffer);
}

}  // namespace forkmend::process
