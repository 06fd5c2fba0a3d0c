// The unit tests' main: the engine is set up as the shim's constructor would do it.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "tests/unit/engine.h"

#if defined(__SANITIZE_THREAD__)
// The probes write locks as libc would: to TSan they are unlocked by nobody, and taken twice.
extern "C" const char* __tsan_default_suppressions() { return "mutex:shim/locks/layout.cc\n"; }
#endif

int main(int argc, char** argv) {
  unit::begin_engine();
  doctest::Context context(argc, argv);
  return context.run();
}
