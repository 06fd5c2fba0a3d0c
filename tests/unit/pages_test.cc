// shim/reviving/pages: what is done to many ranges at once.
#include "shim/reviving/pages.h"

#include <doctest/doctest.h>
#include <sys/mman.h>

#include <cstring>

using forkmend::pages::kPage;
using forkmend::pages::Ranges;

namespace {

constexpr std::size_t kPages = 1000;  // more ranges than are taken together

struct Memory {
  char* at;
  Memory() {
    void* mapped =
        mmap(nullptr, kPages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(mapped != MAP_FAILED);
    at = static_cast<char*>(mapped);
  }
  ~Memory() { munmap(at, kPages * kPage); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  char* page(std::size_t n) const { return at + n * kPage; }
  bool is_present(std::size_t n) const {
    unsigned char in_core = 0;
    return mincore(page(n), kPage, &in_core) == 0 && (in_core & 1) != 0;
  }
};

// Every third page, by a few bytes in it; the third, sixth … of these with the page after it.
void add_all(Ranges& ranges, const Memory& memory) {
  for (std::size_t n = 0; n + 2 < kPages; n += 3) {
    ranges.add(memory.page(n) + 100, memory.page(n) + 200);
    if (n % 9 == 0) ranges.add(memory.page(n + 1), memory.page(n + 1) + 1);
  }
}
bool is_added(std::size_t n) { return n + 2 < kPages + n % 3 && (n % 3 == 0 || n % 9 == 1); }

}  // namespace

TEST_CASE("dropped pages are zero, their neighbours as they were") {
  const Memory memory;
  memset(memory.at, 7, kPages * kPage);
  {
    Ranges ranges(MADV_DONTNEED);
    add_all(ranges, memory);
  }
  for (std::size_t n = 0; n < kPages; n++) {
    CAPTURE(n);
    const char expected = is_added(n) ? 0 : 7;
    CHECK(memory.page(n)[0] == expected);
    CHECK(memory.page(n)[kPage - 1] == expected);
  }
}

TEST_CASE("pages that will be written to are there, and hold what they held") {
  constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE
  const Memory memory;
  memory.page(3)[5] = 9;
  {
    Ranges ranges(kPopulateWrite);
    add_all(ranges, memory);
  }
  for (std::size_t n = 0; n < kPages; n++) {
    CAPTURE(n);
    CHECK(memory.is_present(n) == is_added(n));
  }
  CHECK(memory.page(3)[5] == 9);
}

TEST_CASE("what the kernel does not know is left as it is") {
  constexpr int kNoAdvice = 9999;
  const Memory memory;
  memset(memory.at, 7, kPages * kPage);
  {
    Ranges ranges(kNoAdvice);
    add_all(ranges, memory);
  }
  for (std::size_t n = 0; n < kPages; n++) CHECK(memory.page(n)[0] == 7);
}
