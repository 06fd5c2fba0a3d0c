// Runs a fuzzer's function over files: what once failed stays mended, without clang.
//
//   replay-NAME FILE…     says how many it ran; a broken promise aborts, the file's name is the
//   last said
#include <fstream>
#include <iterator>
#include <string>

#include "tests/fuzz/fuzz.h"

int main(int count, char** files) {
  for (int i = 1; i < count; i++) {
    std::printf("%s\n", files[i]);
    std::fflush(stdout);
    std::ifstream stream(files[i], std::ios::binary);
    if (!stream) return 2;
    const std::string text{std::istreambuf_iterator<char>(stream),
                           std::istreambuf_iterator<char>()};
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  }
  std::printf("%d files\n", count - 1);
  return count > 1 ? 0 : 2;
}
