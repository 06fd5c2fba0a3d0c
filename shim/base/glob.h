// Shell-style patterns: '*' any run of characters, '?' any one.
// Promises: no allocation, no locale, linear in practice, async-signal-safe.
#pragma once

#include <cstddef>
#include <string_view>

namespace forkmend {

inline bool glob_match(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = std::string_view::npos, retry = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      retry = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      p++;
      t++;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++retry;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') p++;
  return p == pattern.size();
}

// Whether one of the patterns in fields of a fixed size matches; empty ones match nothing.
template <std::size_t Count, std::size_t Size>
bool glob_match_any(const char (&patterns)[Count][Size], std::string_view text) {
  for (const auto& pattern : patterns) {
    if (pattern[0] != '\0' && glob_match(pattern, text)) return true;
  }
  return false;
}

// Calls `each` with every non-empty item of a comma-separated list, blanks trimmed.
template <class Each>
void for_each_item(std::string_view list, Each&& each) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    std::string_view item = list.substr(0, comma);
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
    while (!item.empty() && (item.front() == ' ' || item.front() == '\t')) item.remove_prefix(1);
    while (!item.empty() && (item.back() == ' ' || item.back() == '\t')) item.remove_suffix(1);
    if (!item.empty()) each(item);
  }
}

inline std::string_view base_name(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace forkmend
