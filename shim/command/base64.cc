#include "shim/command/base64.h"

namespace forkmend::command {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

std::optional<std::vector<std::uint8_t>> base64_decode(std::string_view text) {
  for (int i = 0; i < 2 && !text.empty() && text.back() == '='; ++i) text.remove_suffix(1);
  if (text.size() % 4 == 1) return std::nullopt;
  std::vector<std::uint8_t> out;
  out.reserve(text.size() * 3 / 4);
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const std::size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out.push_back(static_cast<std::uint8_t>(bits >> count));
    }
  }
  return out;
}

std::string base64_encode(const void* data, std::size_t size) {
  const auto* const bytes = static_cast<const std::uint8_t*>(data);
  std::string out;
  for (std::size_t i = 0; i < size; i += 3) {
    std::uint32_t bits = std::uint32_t{bytes[i]} << 16;
    if (i + 1 < size) bits |= std::uint32_t{bytes[i + 1]} << 8;
    if (i + 2 < size) bits |= bytes[i + 2];
    out += kAlphabet[bits >> 18];
    out += kAlphabet[bits >> 12 & 63];
    out += i + 1 < size ? kAlphabet[bits >> 6 & 63] : '=';
    out += i + 2 < size ? kAlphabet[bits & 63] : '=';
  }
  return out;
}

}  // namespace forkmend::command
