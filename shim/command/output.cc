#include "shim/command/output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "shim/base/printable.h"

namespace forkmend::command {
Style Style::of(std::FILE* stream) {
  const char* const no_color = std::getenv("NO_COLOR");
  const char* const term = std::getenv("TERM");
  return Style(isatty(fileno(stream)) != 0 && (no_color == nullptr || *no_color == '\0') &&
               term != nullptr && std::strcmp(term, "dumb") != 0);
}

std::string Style::wrap(const char* code, std::string_view text) const {
  if (!colours_) return std::string(text);
  return fmt::format("\033[{}m{}\033[0m", code, text);
}

std::string printable(std::string_view text) {
  std::string out;
  for_each_printable(text, [&](std::string_view piece) { out += piece; });
  return out;
}

std::string shown(std::string_view text, bool colours) {
  constexpr std::string_view kStyles[] = {"\033[1m",  "\033[2m",  "\033[1;31m",
                                          "\033[32m", "\033[33m", "\033[0m"};
  std::string out;
  while (!text.empty()) {
    const std::size_t plain = std::min(text.find_first_of("\033\n"), text.size());
    out += printable(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) break;
    std::size_t passes = text.front() == '\n' ? 1 : 0;
    for (const std::string_view style : kStyles) {
      if (colours && text.substr(0, style.size()) == style) passes = style.size();
    }
    out += passes > 0 ? std::string(text.substr(0, passes)) : printable(text.substr(0, 1));
    text.remove_prefix(std::max<std::size_t>(passes, 1));
  }
  return out;
}

void print(std::string_view text) {
  static const bool colours = Style::of(stdout).has_colours();
  const std::string out = shown(text, colours);
  std::fwrite(out.data(), 1, out.size(), stdout);
}

void complain(std::string_view who, std::string_view text) {
  const std::string line = fmt::format("{}: {}\n", who, printable(text));
  std::fwrite(line.data(), 1, line.size(), stderr);
}

std::vector<std::string> wrapped(std::string_view text, std::size_t width) {
  std::vector<std::string> lines;
  while (text.size() > width) {
    std::size_t space = text.rfind(' ', width);
    if (space == std::string_view::npos || space == 0) space = text.find(' ', width);
    if (space == std::string_view::npos) break;
    lines.emplace_back(text.substr(0, space));
    text.remove_prefix(space + 1);
  }
  lines.emplace_back(text);
  return lines;
}

std::string counted(std::size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string duration(double seconds) {
  if (seconds < 10) return fmt::format("{:.1f} s", seconds < 0 ? 0.0 : seconds);
  if (seconds < 120) return fmt::format("{:.0f} s", seconds);
  if (seconds < 7200) return fmt::format("{:.0f} min", seconds / 60);
  if (seconds < 172800) return fmt::format("{:.0f} h", seconds / 3600);
  return fmt::format("{:.0f} days", seconds / 86400);
}

}  // namespace forkmend::command
