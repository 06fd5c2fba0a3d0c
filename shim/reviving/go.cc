#include "shim/reviving/go.h"

#include <signal.h>
#include <string.h>

#include <cstddef>
#include <cstdint>

#include "shim/base/armed.h"
#include "shim/base/syscall.h"
#include "shim/forking/protocol.h"
#include "shim/reviving/image.h"
#include "shim/reviving/resume.h"
#include "shim/runtimes/dynamic.h"
#include "shim/runtimes/runtime.h"

namespace forkmend::go {
namespace {

// --- calls from C into Go ------------------------------------------------------------------------
// Go's runtime/cgo: gcc_libinit.c and libcgo.h of 1.19 and 1.26. The context function is called
// with a word to fill in, which stays 0: Go then takes no notice.

using ContextFunction = void (*)(std::uintptr_t* context);
struct TracebackFunctions {
  void* traceback;
  ContextFunction context;
  void* symbolizer;
};

template <class Function>
Function* function(const dynamic::Image& image, const char* name) {
  return reinterpret_cast<Function*>(image.find(name));
}

// Go up to 1.25; from 1.26 on the three are set together.
constexpr const char* kSetContext = "x_cgo_set_context_function";
constexpr const char* kSetAll = "x_cgo_set_traceback_functions";

void on_call(std::uintptr_t*) {
  if (child_unannounced()) forking::notice_child();
  if (FORKMEND_LIKELY(resume::pending.load(std::memory_order_relaxed) == 0)) return;
  Runtime* r = runtimes::of_caller(__builtin_return_address(0));
  if (r != nullptr) resume::revive(*r);
}

ContextFunction context_function(const dynamic::Image& image) {
  auto* get = function<ContextFunction()>(image, "_cgo_get_context_function");
  return get != nullptr ? get() : nullptr;
}

void set_context_function(const dynamic::Image& image) {
  if (auto* set = function<void(ContextFunction)>(image, kSetContext)) return set(on_call);
  auto* set_all = function<void(TracebackFunctions*)>(image, kSetAll);
  auto* traceback = function<void*()>(image, "_cgo_get_traceback_function");
  auto* symbolizer = function<void*()>(image, "_cgo_get_symbolizer_function");
  if (set_all == nullptr || traceback == nullptr || symbolizer == nullptr) return;
  TracebackFunctions functions{traceback(), on_call, symbolizer()};
  set_all(&functions);
}

// --- a thread's record ---------------------------------------------------------------------------
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

bool is_go(const modules::Module& library) {
  const dynamic::Image image(library);
  return image.find(kSetContext) != nullptr || image.find(kSetAll) != nullptr;
}

bool watch_calls(const modules::Module& library) {
  const dynamic::Image image(library);
  if (context_function(image) == nullptr) set_context_function(image);
  return context_function(image) == on_call;
}

bool watches_calls(const modules::Module& library) {
  return context_function(dynamic::Image(library)) == on_call;
}

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
