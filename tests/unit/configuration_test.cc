// shim/runtimes: which profile matches, and which policy is in force.
#include <doctest/doctest.h>

#include <string>

#include "shim/base/settings.h"
#include "shim/runtimes/configuration.h"
#include "tests/unit/engine.h"

using namespace forkmend;

namespace {
constexpr const char* kStatsig =
    "/srv/site-packages/statsig_python_core/statsig_python_core.abi3.so";
}

TEST_CASE("configuration: the built-in profile of Statsig") {
  CHECK(unit::in_fresh_process([] {
          configuration::load();
          const configuration::Match match = configuration::find_by_dso(kStatsig);
          EXPECT(match.profile != nullptr && std::string_view(match.profile->name) == "statsig");
          EXPECT(std::string_view(match.origin) == "built in");
          EXPECT(match.profile->policy == Policy::resume);
          EXPECT(match.profile->settle);
          EXPECT(std::string_view(match.profile->measured).find("0.5.0") != std::string_view::npos);
          // By the file's name, wherever it lies.
          EXPECT(configuration::find_by_dso("/statsig_python_core.cpython-311-x86_64-linux-gnu.so")
                     .profile != nullptr);
          EXPECT(configuration::find_by_dso("/statsig_python_core/other.so").profile == nullptr);
          EXPECT(configuration::find_by_dso("").profile == nullptr);
          EXPECT(configuration::find_by_thread("statsig").profile == nullptr);
        }) == 0);
}

TEST_CASE("configuration: FORKMEND_PROFILES switches a profile off, and the last word counts") {
  for (const auto& [value, on] : {std::pair{"-statsig", false},
                                  {"+statsig", true},
                                  {"-statsig,+statsig", true},
                                  {"+statsig,-statsig", false},
                                  {"-stats", true},
                                  {" -statsig ", false}}) {
    CAPTURE(value);
    CHECK(unit::in_fresh_process([value = value, on = on] {
            settings.profiles = value;
            configuration::load();
            EXPECT((configuration::find_by_dso(kStatsig).profile != nullptr) == on);
          }) == 0);
  }
}

TEST_CASE("configuration: FORKMEND_POLICY") {
  CHECK(unit::in_fresh_process([] {
          settings.policy = "statsig:report, polars:leave,name:with:colon:drain,bad:nonsense";
          EXPECT(configuration::policy_for("statsig", Policy::drain) == Policy::report);
          EXPECT(configuration::policy_for("polars", Policy::report) == Policy::leave);
          EXPECT(configuration::policy_for("name:with:colon", Policy::report) == Policy::drain);
          EXPECT(configuration::policy_for("bad", Policy::drain) == Policy::drain);
          EXPECT(configuration::policy_for("other", Policy::drain) == Policy::drain);
          EXPECT(configuration::policy_for("", Policy::drain) == Policy::drain);
          Policy policy;
          for (int i = 0; i < kPolicyCount; i++)
            EXPECT(parse_policy(kPolicyNames[i], policy) && policy == static_cast<Policy>(i));
          EXPECT(!parse_policy("Drain", policy) && !parse_policy("", policy));
        }) == 0);
}

TEST_CASE("configuration: who is made anew unasked, and who asked") {
  struct Row {
    const char* policy;
    const char* profiles;
    bool unasked, asked;
  };
  for (const Row& row : {Row{"", "", true, false},
                         {"statsig:drain", "", false, false},
                         {"statsig:resume", "", false, true},
                         {"langfuse:report", "-posthog", true, false},
                         {"libpool.so:rerun", "", true, true},
                         {"", "-statsig", false, false},
                         {"", "+statsig", false, true},
                         {"", "+polars", true, true},
                         {"", "+python:app.metrics", true, false}}) {
    CAPTURE(row.policy);
    CAPTURE(row.profiles);
    CHECK(unit::in_fresh_process([&] {
            settings.policy = row.policy;
            settings.profiles = row.profiles;
            EXPECT(configuration::makes_anew_unasked(kStatsig) == row.unasked);
            EXPECT(configuration::asked_to_make_anew() == row.asked);  // before files are read
            configuration::load();
            EXPECT(configuration::makes_anew_unasked(kStatsig) == row.unasked);
            EXPECT(configuration::asked_to_make_anew() == row.asked);
            EXPECT(!configuration::makes_anew_unasked("/usr/lib/libc.so.6"));
            EXPECT(!configuration::makes_anew_unasked(""));
          }) == 0);
  }
}
