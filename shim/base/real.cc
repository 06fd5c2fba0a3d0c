#include "shim/base/real.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>

#include <atomic>
#include <string_view>

// libc's own names for what allocators lock with, beside those that we interpose. Weak: nothing
// says that a libc to come has them.
extern "C" {
int __pthread_mutex_lock(pthread_mutex_t*) __attribute__((weak));
int __pthread_mutex_trylock(pthread_mutex_t*) __attribute__((weak));
int __pthread_mutex_unlock(pthread_mutex_t*) __attribute__((weak));
int __pthread_once(pthread_once_t*, void (*)()) __attribute__((weak));
}

namespace forkmend {

FORKMEND_TLS bool LookUp::inside_;

namespace {

#if defined(__x86_64__)
constexpr const char* kCondVersion = "GLIBC_2.3.2";
#else
constexpr const char* kCondVersion = nullptr;  // aarch64 began after the change of layout
#endif

void* find(const char* name, const char* version) {
  return version == nullptr ? dlsym(RTLD_NEXT, name) : dlvsym(RTLD_NEXT, name, version);
}

// Before glibc 2.34 a thread's first dlsym allocates. An allocator that comes from a preload may
// lock for that, which asks for a look-up again, without end (on 2.31 jemalloc crashed at its
// initialisation, tcmalloc in its pthread_once): inside a look-up these are called, and remembered
// by nobody.
template <class Function>
Function within_look_up(std::string_view name);
template <>
int (*within_look_up(std::string_view name))(pthread_mutex_t*) {
  if (name == "pthread_mutex_lock") return &__pthread_mutex_lock;
  if (name == "pthread_mutex_trylock") return &__pthread_mutex_trylock;
  if (name == "pthread_mutex_unlock") return &__pthread_mutex_unlock;
  return nullptr;
}
template <>
int (*within_look_up(std::string_view name))(pthread_once_t*, void (*)()) {
  return name == "pthread_once" ? &__pthread_once : nullptr;
}
template <class Function>
Function within_look_up(std::string_view) {
  return nullptr;
}

// One stub a symbol: find it, remember it, go on to it.
template <class Function, class Symbol>
struct Stub;

template <class Result, class... Arguments, class Symbol>
struct Stub<Result (*)(Arguments...), Symbol> {
  static Result call(Arguments... arguments) {
    if (LookUp::is_inside()) {
      if (auto* early = within_look_up<Result (*)(Arguments...)>(Symbol::called()))
        return early(arguments...);
    }
    {
      const LookUp inside;
      Symbol::resolve();
    }
    return Symbol::pointer()(arguments...);
  }
};

#define FORKMEND_SYMBOL(name, result, parameters, version)                                    \
  struct name##_symbol {                                                                      \
    static auto& pointer() { return real_functions.name; }                                    \
    static constexpr std::string_view called() { return #name; }                              \
    static constexpr const char* name() { return #name; }                                     \
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

bool libc_is_before(int minor) {
  const char* version = gnu_get_libc_version();  // "2.31"
  if (version[0] != '2' || version[1] != '.') return false;
  int own = 0;
  for (const char* at = version + 2; *at >= '0' && *at <= '9'; at++) own = own * 10 + (*at - '0');
  return own < minor;
}

bool look_ups_allocate() { return libc_is_before(34); }

bool has_real_fork_without_handlers() {
  static const bool has = find("_Fork", nullptr) != nullptr;
  return has;
}

}  // namespace forkmend
