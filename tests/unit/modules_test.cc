// shim/reporting: what lies where; shim/reviving: whose kernel objects are noted.
#include <doctest/doctest.h>
#include <gnu/libc-version.h>

#include <string>

#include "shim/base/settings.h"
#include "shim/reporting/modules.h"
#include "shim/reviving/kernel_objects.h"
#include "shim/runtimes/runtime.h"
#include "tests/unit/engine.h"

using namespace forkmend;

TEST_CASE("modules: the path of a loaded object, without a map of them") {
  CHECK(unit::in_fresh_process([] {
          const auto* of_libc =
              modules::path_of_loaded(reinterpret_cast<const void*>(&gnu_get_libc_version));
          EXPECT(of_libc != nullptr && std::string(of_libc).find("libc.so") != std::string::npos);
          const char* own = modules::path_of_loaded(unit::here());
          EXPECT(own != nullptr && own[0] == '\0');
          const int on_stack = 0;
          EXPECT(modules::path_of_loaded(&on_stack) == nullptr);
          EXPECT(modules::count() == 0);
        }) == 0);
}

TEST_CASE("kernel objects: whose are noted, and that a number may go to somebody else") {
  CHECK(unit::in_fresh_process([] {
          constexpr int kNumber = 100;
          static Runtime r;
          r.dso = modules::find_or_refresh(unit::here());
          EXPECT(kernel_objects::made(kNumber, unit::here()) == kNumber);
          EXPECT(!kernel_objects::made_by(r, kNumber));
          settings.policy = "somebody:resume";
          EXPECT(kernel_objects::made(kNumber, unit::here()) == kNumber);
          EXPECT(kernel_objects::made_by(r, kNumber));
          settings.policy = "";
          EXPECT(kernel_objects::made(kNumber, unit::here()) == kNumber);
          EXPECT(!kernel_objects::made_by(r, kNumber));
          EXPECT(kernel_objects::made(-1, unit::here()) == -1);
        }) == 0);
}
