#include "shim/reviving/go.h"

#include <signal.h>
#include <string.h>

#include <cstddef>
#include <cstdint>

#include "shim/base/syscall.h"
#include "shim/reviving/image.h"

namespace forkmend::go {
namespace {

// Go's runtime/runtime2.go, the same from 1.14 to 1.26: a goroutine begins with its stack (two
// words), two stack guards, the innermost panic and defer, and its M; an M with its g0, the
// goroutine of the thread's own stack. The id (procid) is among the first twenty words of an M.
constexpr std::uintptr_t kOffsetOfM = 48;
constexpr std::size_t kWordsOfM = 32;
using Word = std::uintptr_t;

bool is_pointer(Word word) {
  constexpr Word kLowest = 0x10000, kUserSpace = Word{1} << 47;
  return word >= kLowest && word < kUserSpace && word % sizeof(Word) == 0;
}

template <class T>
bool read(Word from, T& to) {
  return is_pointer(from) &&
         sys::copy_memory(&to, reinterpret_cast<const void*>(from), sizeof to) == sizeof to;
}

struct M {
  Word words[kWordsOfM];
};

// The M of a goroutine, if the word points to one: then the M's g0 has the same M.
bool read_m(Word goroutine, Word& at, M& m) {
  Word again;
  return read(goroutine + kOffsetOfM, at) && read(at, m) && read(m.words[0] + kOffsetOfM, again) &&
         again == at;
}

}  // namespace

bool renew_id(pthread_t thread, int before, int now) {
  std::size_t size;
  const char* storage = image::static_storage(thread, size);
  for (std::size_t offset = 0; offset + sizeof(Word) <= size; offset += sizeof(Word)) {
    Word goroutine, at;
    M m;
    memcpy(&goroutine, storage + offset, sizeof goroutine);
    if (!is_pointer(goroutine) || !read_m(goroutine, at, m)) continue;
    for (std::size_t i = 1; i < kWordsOfM; i++) {
      if (m.words[i] != static_cast<Word>(before)) continue;
      reinterpret_cast<Word*>(at)[i] = static_cast<Word>(now);
      // Until it has handled one the M is believed to have been sent one. Blocked: it waits until
      // the thread is itself again.
      sys::call(SYS_tgkill, sys::getpid(), now, SIGURG);
      return true;
    }
  }
  return false;
}

}  // namespace forkmend::go
