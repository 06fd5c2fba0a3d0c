#include "shim/base/real.h"

#include <dlfcn.h>

#include <atomic>

namespace forkmend {
namespace {

#if defined(__x86_64__)
constexpr const char* kCondVersion = "GLIBC_2.3.2";
#else
constexpr const char* kCondVersion = nullptr;  // aarch64 began after the change of layout
#endif

void* find(const char* name, const char* version) {
  return version == nullptr ? dlsym(RTLD_NEXT, name) : dlvsym(RTLD_NEXT, name, version);
}

// One stub a symbol: find it, remember it, go on to it.
template <class Function, class Symbol>
struct Stub;

template <class Result, class... Arguments, class Symbol>
struct Stub<Result (*)(Arguments...), Symbol> {
  static Result call(Arguments... arguments) {
    Symbol::resolve();
    return Symbol::pointer()(arguments...);
  }
};

#define FORKMEND_SYMBOL(name, result, parameters, version)                                    \
  struct name##_symbol {                                                                      \
    static auto& pointer() { return real_functions.name; }                                    \
    static void resolve() {                                                                   \
      /* A symbol that this libc lacks keeps its stub; nothing calls it (see has_…). */     \
      if (void* found = find(#name, version))                                                 \
        __atomic_store_n(&real_functions.name, reinterpret_cast<result(*) parameters>(found), \
                         __ATOMIC_RELEASE);                                                   \
    }                                                                                         \
  };
FORKMEND_REAL_FUNCTIONS(FORKMEND_SYMBOL)
#undef FORKMEND_SYMBOL

}  // namespace

#define FORKMEND_STUB(name, result, parameters, version) \
  &Stub<result(*) parameters, name##_symbol>::call,
constinit Real real_functions = {FORKMEND_REAL_FUNCTIONS(FORKMEND_STUB)};
#undef FORKMEND_STUB

void resolve_real_functions() {
  FORKMEND_SAME_PAGE static std::atomic<bool> done{false};
  if (done.load(std::memory_order_relaxed) || done.exchange(true)) return;
#define FORKMEND_RESOLVE(name, result, parameters, version) name##_symbol::resolve();
  FORKMEND_REAL_FUNCTIONS(FORKMEND_RESOLVE)
#undef FORKMEND_RESOLVE
}

bool has_real_fork_without_handlers() {
  static const bool has = find("_Fork", nullptr) != nullptr;
  return has;
}

}  // namespace forkmend
