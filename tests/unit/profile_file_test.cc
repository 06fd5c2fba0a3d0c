#include "shim/runtimes/profile_file.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <string>

using forkmend::parse_profile_file;
using forkmend::Policy;
using forkmend::ProfileFile;
using forkmend::read_profile_file;

namespace {

// The messages, one a line.
std::string problems(const ProfileFile& file) {
  std::string out;
  for (const auto& problem : file.problems) out += problem.message() + "\n";
  return out;
}

std::string problems(const std::string& text) { return problems(parse_profile_file(text, "f")); }

const std::string kGood = "name = \"x\"\npolicy = \"drain\"\n[match]\ndso = [\"libx*.so\"]\n";

}  // namespace

TEST_CASE("a profile with everything") {
  const ProfileFile file = parse_profile_file(R"(
name = "statsig"
policy = "drain"
settle = true
asks_first = true
signal = 60
callers = true
measured = ["0.4.2", "0.5.0"]
[match]
dso = ["a*.so", "b.so"]
thread = ["worker-*"]
symbol = ["entry"]
[fix]
now = "A=b"
code = "say \"so\""
)",
                                              "f");
  REQUIRE(problems(file) == "");
  REQUIRE(file.profiles.size() == 1);
  const auto& profile = file.profiles[0];
  CHECK(std::string(profile.name) == "statsig");
  CHECK(profile.policy == Policy::drain);
  CHECK(profile.settle == 1);
  CHECK(profile.asks_first == 1);
  CHECK(profile.signal == 60);
  CHECK(profile.callers == 1);
  CHECK(std::string(profile.symbol[0]) == "entry");
  CHECK(std::string(profile.measured) == "0.4.2, 0.5.0");
  CHECK(std::string(profile.dso[0]) == "a*.so");
  CHECK(std::string(profile.dso[1]) == "b.so");
  CHECK(profile.dso[2][0] == '\0');
  CHECK(std::string(profile.thread[0]) == "worker-*");
  CHECK(std::string(profile.fix_now) == "A=b");
  CHECK(std::string(profile.fix_code) == "say \"so\"");
  CHECK(file.profile_lines[0] == 2);
}

TEST_CASE("several profiles and settings in one file") {
  const ProfileFile file = parse_profile_file(R"([settings]
on_lockup = "abort"
drain_ms = 50
inherit = false
profiles = ["+a", "-b"]
[[profile]]
name = "a"
policy = "leave"
match = { thread = ["x"] }
[[profile]]
name = "b"
policy = "callback"
match = { dso = ["y"] }
)",
                                              "f");
  REQUIRE(problems(file) == "");
  REQUIRE(file.profiles.size() == 2);
  CHECK(file.profiles[0].policy == Policy::leave);
  CHECK(file.profiles[1].policy == Policy::callback);
  REQUIRE(file.settings.size() == 4);
  CHECK(file.settings[0].name == "on_lockup");
  CHECK(file.settings[0].value == "abort");
  CHECK(file.settings[0].line == 2);
  CHECK(file.settings[1].value == "50");
  CHECK(file.settings[2].value == "0");
  CHECK(file.settings[3].value == "+a,-b");
}

TEST_CASE("an empty file says nothing, and that is no problem") {
  const ProfileFile file = parse_profile_file("", "f");
  CHECK(file.problems.empty());
  CHECK(file.profiles.empty());
}

TEST_CASE("each problem has its line, and the profile is not delivered") {
  const auto one = [](const std::string& text, const std::string& start) {
    const ProfileFile file = parse_profile_file(text, "f");
    CAPTURE(problems(file));
    CHECK(file.profiles.empty());
    REQUIRE(file.problems.size() == 1);
    CHECK(problems(file).substr(0, start.size()) == start);
  };
  one(kGood + "color = 1\n", "f:5: unknown key \"color\" in [match]: ");
  one("color = 1\n" + kGood, "f:1: unknown key \"color\" in the profile: ");
  one("policy = \"drain\"\n[match]\ndso = [\"x\"]\n", "f:1: the profile has no name: ");
  one("name = \"x\"\n[match]\ndso = [\"x\"]\n", "f:1: the profile has no policy: ");
  one("name = \"x\"\npolicy = \"cure\"\n[match]\ndso = [\"x\"]\n",
      "f:2: unknown policy \"cure\": use one of leave, report, forkall, quiesce, drain, callback, "
      "rerun, "
      "resume, eager");
  one("name = \"x\"\npolicy = 3\n[match]\ndso = [\"x\"]\n", "f:2: policy is an integer: ");
  one("name = \"x\"\npolicy = \"drain\"\n", "f:1: nothing to match: ");
  one("name = \"x\"\npolicy = \"drain\"\n[match]\n", "f:3: [match] is empty: ");
  one("name = \"x\"\npolicy = \"drain\"\n[match]\ndso = []\n", "f:3: [match] is empty: ");
  one("name = \"x\"\npolicy = \"drain\"\n[match]\ndso = \"x\"\n", "f:4: match.dso is a string: ");
  one("name = \"x\"\npolicy = \"drain\"\n[match]\ndso = [\"\"]\n",
      "f:4: match.dso has an empty pattern: ");
  one("name = \"x\"\npolicy = \"drain\"\n[match]\ndso = [\"/usr/lib/x.so\"]\n",
      "f:4: the pattern \"/usr/lib/x.so\" can never match: ");
  one("name = \"a,b\"\npolicy = \"drain\"\n[match]\ndso = [\"x\"]\n", "f:1: the name \"a,b\" ");
  one("settle = \"no\"\n" + kGood, "f:1: settle is a string: ");
  one("drain_ms = 0\n" + kGood, "f:1: drain_ms is out of range: use 1 to 60000");
  one("signal = 9\n" + kGood, "f:1: signal is out of range: use 34 to 60");
  one("signal = \"SIGRTMAX\"\n" + kGood, "f:1: signal is a string: ");
  one("measured = \"1\"\n" + kGood, "f:1: measured is a string: ");
  one("fix = 1\n" + kGood, "f:1: fix is an integer: ");
  one("profile = 1\n", "f:1: profile is an integer: ");
  one("settings = 1\n", "f:1: settings is an integer: ");
  one("[settings]\nDRAIN = 1\n", "f:2: \"DRAIN\" is no setting's name: ");
  one("[settings]\ndrain_ms = 1.5\n", "f:2: drain_ms is a fraction: ");
}

TEST_CASE("the limits of a profile are kept") {
  const auto with = [](const std::string& name, const std::string& pattern) {
    return "name = \"" + name + "\"\npolicy = \"drain\"\n[match]\ndso = [\"" + pattern + "\"]\n";
  };
  const std::string name(forkmend::kProfileNameSize - 1, 'n');
  const std::string pattern(forkmend::kProfilePatternSize - 1, 'p');
  const ProfileFile fits = parse_profile_file(with(name, pattern), "f");
  REQUIRE(problems(fits) == "");
  CHECK(std::string(fits.profiles[0].name) == name);
  CHECK(std::string(fits.profiles[0].dso[0]) == pattern);

  CHECK(problems(with(name + "n", "p")) == "f:1: name has 64 bytes: shorten it to 63\n");
  CHECK(problems(with("n", pattern + "p")) ==
        "f:4: a pattern of match.dso has 96 bytes: shorten it to 95\n");
  std::string many = "name = \"x\"\npolicy = \"drain\"\n[match]\ndso = [";
  for (std::size_t i = 0; i <= forkmend::kProfilePatterns; ++i) many += "\"a\",";
  CHECK(problems(many + "]\n") == "f:4: match.dso has 9 patterns: use at most 8\n");
  const std::string note(forkmend::kProfileNoteSize, 'n');
  CHECK(problems(kGood + "[fix]\nnow = \"" + note + "\"\n") ==
        "f:6: fix.now has 256 bytes: shorten it to 255\n");
  std::string versions = "measured = [";
  for (int i = 0; i < 20; ++i) versions += "\"100.200.300\",";
  CHECK(problems(versions + "]\n" + kGood).find("f:1: measured has 258 bytes") == 0);
}

TEST_CASE("one wrong profile of a file leaves the others") {
  const ProfileFile file = parse_profile_file(R"([[profile]]
name = "a"
policy = "leave"
match = { thread = ["x"] }
[[profile]]
name = "b"
policy = "none"
match = { thread = ["x"] }
[[profile]]
name = "a"
policy = "leave"
match = { thread = ["x"] }
)",
                                              "f");
  CHECK(file.profiles.size() == 1);
  REQUIRE(file.problems.size() == 2);
  CHECK(file.problems[0].line == 7);
  CHECK(file.problems[1].message() ==
        "f:10: a second profile \"a\", the first is in line 2: rename or remove one");
}

TEST_CASE("a profile at the top level and tables do not mix") {
  CHECK(
      problems(kGood + "[[profile]]\nname = \"y\"\npolicy = \"leave\"\nmatch = { dso = [\"y\"] }\n")
          .find("f:1: \"name\" stands outside of the [[profile]] tables") != std::string::npos);
}

TEST_CASE("what is no TOML is one problem with its line") {
  const ProfileFile file = parse_profile_file("name = \"x\"\npolicy = \n", "f");
  REQUIRE(file.problems.size() == 1);
  CHECK(file.problems[0].line == 2);
  CHECK(file.problems[0].text.find('\n') == std::string::npos);
  CHECK(problems("name = \"\xff\"\n").find("f:1: not TOML") == 0);
  CHECK(problems("name = \"x\"\nname = \"y\"\n").find("f:2: not TOML") == 0);
}

TEST_CASE("files that cannot be read are one problem") {
  CHECK(problems(read_profile_file("/nonexistent/x.toml")) ==
        "/nonexistent/x.toml: cannot be read: No such file or directory: give a readable TOML "
        "file\n");
  CHECK(problems(read_profile_file("/")).find("is a directory") != std::string::npos);
  CHECK(problems(read_profile_file("/dev/zero")).find("is a device") != std::string::npos);
}

TEST_CASE("functions by which a library takes work") {
  const ProfileFile file = parse_profile_file(
      kGood + "[enqueue]\nsymbol = [\"x_submit\", \"_ZN1x4pushEi\"]\ndso = [\"liby.so*\"]\n", "f");
  REQUIRE(problems(file) == "");
  CHECK(std::string(file.profiles[0].enqueue_symbol[1]) == "_ZN1x4pushEi");
  CHECK(std::string(file.profiles[0].enqueue_dso[0]) == "liby.so*");
  // Without a library of its own: that of [match].
  CHECK(problems(kGood + "[enqueue]\nsymbol = [\"x_submit\"]\n") == "");
  // Without [match]: for a runtime that registers under the name.
  CHECK(problems(
            "name = \"x\"\npolicy = \"callback\"\n[enqueue]\nsymbol = [\"f\"]\ndso = [\"l\"]\n") ==
        "");
  CHECK(problems("name = \"x\"\npolicy = \"callback\"\n[enqueue]\nsymbol = [\"f\"]\n") ==
        "f:3: [enqueue] names no library: add dso = [\"file name*.so\"], the one that defines "
        "them\n");
  CHECK(problems(kGood + "[enqueue]\ndso = [\"l\"]\n") ==
        "f:5: [enqueue] names no function: add symbol = [\"function\"]\n");
  CHECK(problems(kGood + "[enqueue]\nsymbol = [\"f@@V_1\"]\n") ==
        "f:5: the symbol \"f@@V_1\" can never match: write it as `nm -D` prints it, without the "
        "version\n");
  CHECK(problems(kGood + "enqueue = 3\n").find("f:5: ") == 0);
}

TEST_CASE(
    "where the parser asserts, recurses or knows no answer, there is one problem with its line") {
  const std::string gives_up = "not TOML: the parser cannot read on: correct this line\n";
  for (const char* text : {"[\n", "[.]\n", "[=\n", "[[=\n"}) {
    CAPTURE(text);
    CHECK(problems(text) == "f:1: " + gives_up);
    CHECK(problems("# a\n\n" + std::string(text) + "name = 1\n[\n") == "f:3: " + gives_up);
  }
  std::string dots = "a";
  for (int i = 0; i < 100'000; ++i) dots += ".a";
  CHECK(problems("\n[" + dots + "]\n").find("f:2: more than 100 dots") == 0);
  CHECK(problems("a = " + std::string(100'000, '[')).find("f:1: not TOML") == 0);
  CHECK(problems("a\xcc\x9e = 1\n").find("f:1: not TOML") == 0);
  CHECK(problems("a = 1 \xe2\x80\x80\n").find("f:1: ") == 0);
}

TEST_CASE("a file full of problems is told of in a few lines, and refused") {
  std::string keys, profiles;
  for (int i = 0; i < 10'000; ++i) {
    keys += "k" + std::to_string(i) + " = 1\n";
    profiles += "[[profile]]\n";
  }
  const ProfileFile bad = parse_profile_file(kGood + keys, "f");
  CHECK(bad.problems.size() == 21);
  CHECK(bad.profiles.empty());
  CHECK(problems(profiles) == "f:257: the file has 10000 profiles: use at most 256\n");
}
