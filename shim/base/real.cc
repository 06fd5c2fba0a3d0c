#include "shim/base/real.h"

#include <dlfcn.h>

namespace forkmend {

Real real_functions;

namespace {

#if defined(__x86_64__)
constexpr const char* kCondVersion = "GLIBC_2.3.2";
#else
constexpr const char* kCondVersion = nullptr;  // aarch64 began after the change of layout
#endif

void* find(const char* name, const char* version) {
  return version == nullptr ? dlsym(RTLD_NEXT, name) : dlvsym(RTLD_NEXT, name, version);
}

}  // namespace

FORKMEND_COLD void resolve_real_functions() {
  if (real_functions.resolved) return;
#define FORKMEND_RESOLVE(name, result, parameters, version) \
  real_functions.name = reinterpret_cast<result(*) parameters>(find(#name, version));
  FORKMEND_REAL_FUNCTIONS(FORKMEND_RESOLVE)
#undef FORKMEND_RESOLVE
  __atomic_store_n(&real_functions.resolved, true, __ATOMIC_RELEASE);
}

}  // namespace forkmend
