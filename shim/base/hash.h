// A table's slot for an address.
#pragma once

#include <cstddef>
#include <cstdint>

namespace forkmend {

// Multiplicative hashing (Knuth, TAOCP 3, 6.4) with the 64-bit golden ratio: a number below Size, a
// power of two.
template <std::size_t Size>
std::size_t hash_address(const void* address) {
  static_assert((Size & (Size - 1)) == 0 && Size > 1);
  return (reinterpret_cast<std::uintptr_t>(address) * 0x9e3779b97f4a7c15u) >>
         (64 - __builtin_ctzl(Size));
}

}  // namespace forkmend
