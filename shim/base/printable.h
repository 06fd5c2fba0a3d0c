// What of a text may reach a terminal as it is.
//
// Promises: names of threads, programs, files and settings are chosen by others; shown through
// this they cannot move the cursor, change colours or begin a line. Used by the shared object and
// by the `forkmend` command. Async-signal-safe.
#pragma once

#include <cstddef>
#include <string_view>

namespace forkmend {

// Length of the UTF-8 sequence that starts `text`, which is not empty; 0 where there is none
// (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF).
constexpr std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (text.size() < length) return 0;
  for (std::size_t i = 1; i < length; i++) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = byte(1);
  const bool overlong = (lead == 0xe0 && second < 0xa0) || (lead == 0xf0 && second < 0x90);
  const bool outside = (lead == 0xed && second > 0x9f) || (lead == 0xf4 && second > 0x8f);
  return overlong || outside ? 0 : length;
}

// The control characters: C0 and DEL of ASCII, C1 (U+0080 to U+009F; U+009B is ESC [).
// `text` starts with a UTF-8 sequence of `length` bytes.
constexpr bool is_control(std::string_view text, std::size_t length) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (length == 1) return lead < 0x20 || lead == 0x7f;
  return length == 2 && lead == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0;
}

// Length of the character that starts `text` if a terminal shows it and does nothing else; 0: its
// first byte has to be shown as \xNN.
constexpr std::size_t printable_length(std::string_view text) {
  const std::size_t length = utf8_length(text);
  return length == 0 || is_control(text, length) ? 0 : length;
}

// Calls `take` with each piece of what is shown in place of `text`: characters that are printable
// as they are, every other byte as \xNN.
template <class Take>
constexpr void for_each_printable(std::string_view text, Take&& take) {
  constexpr char kDigits[] = "0123456789abcdef";
  while (!text.empty()) {
    std::size_t plain = 0;
    while (plain < text.size()) {
      const std::size_t length = printable_length(text.substr(plain));
      if (length == 0) break;
      plain += length;
    }
    if (plain > 0) take(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) return;
    const auto byte = static_cast<unsigned char>(text[0]);
    const char escaped[] = {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    take(std::string_view(escaped, sizeof escaped));
    text.remove_prefix(1);
  }
}

}  // namespace forkmend
