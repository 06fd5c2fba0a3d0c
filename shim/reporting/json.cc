#include "shim/reporting/json.h"

#include "shim/base/printable.h"

namespace forkmend {
void Json::quote(std::string_view text) {
  out_.append('"');
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const char c = text[0];
    if (length == 0) {
      out_.append("\\ufffd");
    } else if (c == '"' || c == '\\') {
      out_.append('\\').append(c);
    } else if (is_control(text, length)) {
      // Of C1 the second byte is the character's number.
      out_.format("\\u{:04x}", static_cast<unsigned char>(text[length - 1]));
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
