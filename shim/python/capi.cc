#include "shim/python/capi.h"

#include <dlfcn.h>

namespace forkmend::python {

Api api;

bool resolve() {
  // Never as a tail call: dlsym(RTLD_DEFAULT) looks at who called it, and crashed in ld.so when
  // that was the loader itself, running a constructor.
#define FORKMEND_FIND(name, result, parameters) \
  api.name = reinterpret_cast<result(*) parameters>(dlsym(RTLD_DEFAULT, #name));
#define FORKMEND_REQUIRE(name, result, parameters) \
  FORKMEND_FIND(name, result, parameters)          \
  if (api.name == nullptr) return false;
  FORKMEND_PYTHON_REQUIRED(FORKMEND_REQUIRE)
  FORKMEND_PYTHON_OPTIONAL(FORKMEND_FIND)
#undef FORKMEND_REQUIRE
#undef FORKMEND_FIND
  return api.PyInterpreterState_Get != nullptr || api._PyInterpreterState_Get != nullptr;
}

}  // namespace forkmend::python
