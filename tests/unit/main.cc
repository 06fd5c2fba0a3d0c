// The unit tests' main: the engine is set up as the shim's constructor would do it.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "tests/unit/engine.h"

int main(int argc, char** argv) {
  unit::begin_engine();
  doctest::Context context(argc, argv);
  return context.run();
}
