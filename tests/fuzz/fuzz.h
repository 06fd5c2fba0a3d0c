// What the fuzzers share. Each is one function in libFuzzer's form, so that the same code runs
// under libFuzzer (`make fuzz`) and over the corpus alone (tests/fuzz/replay.cc, in `make test`).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "shim/base/printable.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace fuzz {

inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

// Nothing that a terminal obeys, but line breaks.
inline void require_printable(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length =
        text.front() == '\n' ? std::size_t{1} : forkmend::printable_length(text);
    require(length != 0, "what is printed has no raw control characters");
    text.remove_prefix(length);
  }
}

}  // namespace fuzz
