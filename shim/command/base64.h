// Base64 (RFC 4648), as the shared object writes stack copies.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace forkmend::command {

// Nothing if `text` is not base64. Padding may be missing.
std::optional<std::vector<std::uint8_t>> base64_decode(std::string_view text);

std::string base64_encode(const void* data, std::size_t size);

}  // namespace forkmend::command
