#include "shim/reporting/json.h"

namespace forkmend {
namespace {

// Length of the UTF-8 sequence that starts `text`, 0 where it is not one (RFC 3629, without the
// checks for overlong forms: a reader replaces those).
std::size_t utf8_length(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t length = lead < 0x80   ? 1
                             : lead < 0xc2 ? 0
                             : lead < 0xe0 ? 2
                             : lead < 0xf0 ? 3
                             : lead < 0xf5 ? 4
                                           : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; i++) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 0;
  }
  return length;
}

}  // namespace

void Json::quote(std::string_view text) {
  out_.append('"');
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const char c = text[0];
    if (length == 0) {
      out_.append("\\ufffd");
    } else if (c == '"' || c == '\\') {
      out_.append('\\').append(c);
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out_.format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out_.append(text.substr(0, length));
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out_.append('"');
}

Json& Json::hex(const std::uint8_t* bytes, std::size_t size) {
  separate();
  out_.append('"');
  for (std::size_t i = 0; i < size; i++) out_.format("{:02x}", bytes[i]);
  out_.append('"');
  return *this;
}

// RFC 4648, section 4.
Json& Json::base64(const std::uint8_t* bytes, std::size_t size) {
  constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  separate();
  out_.append('"');
  for (std::size_t i = 0; i < size; i += 3) {
    std::uint32_t group = static_cast<std::uint32_t>(bytes[i]) << 16;
    if (i + 1 < size) group |= static_cast<std::uint32_t>(bytes[i + 1]) << 8;
    if (i + 2 < size) group |= bytes[i + 2];
    const char text[4] = {kAlphabet[group >> 18 & 63], kAlphabet[group >> 12 & 63],
                          i + 1 < size ? kAlphabet[group >> 6 & 63] : '=',
                          i + 2 < size ? kAlphabet[group & 63] : '='};
    out_.append(std::string_view(text, 4));
  }
  out_.append('"');
  return *this;
}

}  // namespace forkmend
