// shim/base and the small parts of shim/reporting.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include <string>
#include <thread>
#include <vector>

#include "shim/base/glob.h"
#include "shim/base/mapping.h"
#include "shim/base/message.h"
#include "shim/base/own_stack.h"
#include "shim/base/settings.h"
#include "shim/base/spinlock.h"
#include "shim/base/syscall.h"
#include "shim/base/text.h"
#include "shim/reporting/json.h"
#include "shim/reporting/package.h"
#include "shim/reporting/storm.h"
#include "shim/reporting/utc.h"
#include "shim/threads/kernel_state.h"
#include "tests/unit/engine.h"

using namespace forkmend;

// --- settings
// -----------------------------------------------------------------------------------------------

namespace {

std::vector<std::string> problems;

void note_problem(std::string_view where, std::string_view value, std::string_view item,
                  std::string_view expected) {
  problems.push_back(std::string(where) + "|" + std::string(value) + "|" + std::string(item) + "|" +
                     std::string(expected));
}

void read(std::vector<std::string> variables) {
  std::vector<char*> environment;
  for (std::string& variable : variables) environment.push_back(variable.data());
  environment.push_back(nullptr);
  read_environment(environment.data(), note_problem);
}

}  // namespace

TEST_CASE("settings: every one of them is read") {
  CHECK(unit::in_fresh_process([] {
          static char dir[] = "FORKMEND_DIR=/some/where", policy[] = "FORKMEND_POLICY=a:leave",
                      only[] = "FORKMEND_ONLY=nginx,php*";
          char* environment[] = {dir, policy, only, nullptr};
          read_environment(environment, note_problem);
          read({"PATH=/bin", "FORKMEND_DRAIN_MS=250", "FORKMEND_GRACE_MS=0",
                "FORKMEND_THRESHOLD_MS=3600000", "FORKMEND_ON_LOCKUP=exit:7", "FORKMEND_LOG=info",
                "FORKMEND_ORPHANS=reset", "FORKMEND_INHERIT=0", "FORKMENDER=somebody else's",
                "FORKMEND_LIB=/x.so", "FORKMEND_DOCTOR=0"});
          EXPECT(problems.empty());
          EXPECT(settings.drain == 250 * kMillisecond);
          EXPECT(settings.grace == 0);
          EXPECT(settings.threshold == 3600 * kSecond);
          EXPECT(settings.on_lockup == OnLockup::exit && settings.exit_code == 7);
          EXPECT(settings.log == Log::info);
          EXPECT(settings.orphans == Orphans::reset);
          EXPECT(!settings.inherit && !settings.off);
          EXPECT(std::string_view(settings.dir) == "/some/where");
          EXPECT(std::string_view(settings.policy) == "a:leave");
          EXPECT(std::string_view(settings.only) == "nginx,php*");
          read({"FORKMEND=off"});
          EXPECT(settings.off);
        }) == 0);
}

TEST_CASE("settings: a value that cannot be read is one problem, and the default") {
  for (const char* bad :
       {"FORKMEND_DRAIN_MS=", "FORKMEND_DRAIN_MS=1s", "FORKMEND_DRAIN_MS=-5",
        "FORKMEND_DRAIN_MS=3600001", "FORKMEND_DRAIN_MS=99999999999999999999",
        "FORKMEND_ON_LOCKUP=exit:", "FORKMEND_ON_LOCKUP=exit:256", "FORKMEND_ON_LOCKUP=exit:-1",
        "FORKMEND_ON_LOCKUP=Abort", "FORKMEND_LOG=1", "FORKMEND_ORPHANS=open",
        "FORKMEND_INHERIT=maybe", "FORKMEND=2", "FORKMEND_DRIAN_MS=1"}) {
    CAPTURE(bad);
    CHECK(unit::in_fresh_process([bad] {
            read({bad});
            const std::string_view name =
                std::string_view(bad).substr(0, std::string_view(bad).find('='));
            EXPECT(problems.size() == 1 && problems[0].substr(0, name.size()) == name);
            const Settings defaults;
            EXPECT(settings.drain == defaults.drain && settings.on_lockup == defaults.on_lockup);
            EXPECT(settings.log == defaults.log && settings.orphans == defaults.orphans);
            EXPECT(settings.inherit == defaults.inherit && settings.off == defaults.off);
          }) == 0);
  }
}

TEST_CASE("settings: a value that cannot be read counts as not given") {
  struct {
    const char *variable, *name, *in_file;
  } kCases[] = {{"FORKMEND_DRAIN_MS=abc", "drain_ms", "7"},
                {"FORKMEND_EXIT_MS=abc", "exit_ms", "7"},
                {"FORKMEND_GRACE_MS=-1", "grace_ms", "7"},
                {"FORKMEND_THRESHOLD_MS=", "threshold_ms", "7"},
                {"FORKMEND_ON_LOCKUP=explode", "on_lockup", "exit:7"},
                {"FORKMEND_LOG=loud", "log", "info"},
                {"FORKMEND_ORPHANS=maybe", "orphans", "reset"},
                {"FORKMEND_INHERIT=2", "inherit", "0"},
                {"FORKMEND_POLICY=statsig", "policy", "a:leave"},
                {"FORKMEND_POLICY=:leave,a:b", "policy", "a:leave"}};
  for (const auto& one : kCases) {
    CAPTURE(one.variable);
    CHECK(unit::in_fresh_process([&one] {
            read({one.variable});
            EXPECT(problems.size() == 1 && !settings.drain_given);
            EXPECT(apply_setting(one.name, one.in_file, SettingSource::file, "f:1", note_problem));
            EXPECT(problems.size() == 1);
            const Settings& s = settings;
            EXPECT((s.drain == 7 * kMillisecond) + (s.exit == 7 * kMillisecond) +
                       (s.grace == 7 * kMillisecond) + (s.threshold == 7 * kMillisecond) +
                       (s.on_lockup == OnLockup::exit) + (s.log == Log::info) +
                       (s.orphans == Orphans::reset) + !s.inherit +
                       (std::string_view(s.policy) == "a:leave") ==
                   1);
            EXPECT(s.drain_given == (s.drain == 7 * kMillisecond));
            // What a file says wrongly changes nothing either.
            EXPECT(apply_setting("drain_ms", "abc", SettingSource::file, "f:2", note_problem));
            EXPECT(problems.size() == 2);
            EXPECT(s.drain_given == (s.drain == 7 * kMillisecond));
          }) == 0);
  }
  // Of a list the items that can be read count.
  CHECK(unit::in_fresh_process([] {
          static char policy[] = "FORKMEND_POLICY=a:leave,b:bad,c";
          char* environment[] = {policy, nullptr};
          read_environment(environment, note_problem);
          EXPECT(problems.size() == 1 && problems[0].find("|b:bad|") != std::string::npos);
          EXPECT(apply_setting("policy", "z:leave", SettingSource::file, "f:1", note_problem));
          EXPECT(std::string_view(settings.policy) == "a:leave,b:bad,c");
        }) == 0);
}

TEST_CASE("settings: the environment wins over files, whichever comes first") {
  CHECK(unit::in_fresh_process([] {
          EXPECT(apply_setting("grace_ms", "5", SettingSource::file, "a.toml:1", note_problem));
          EXPECT(settings.grace == 5 * kMillisecond);
          read({"FORKMEND_GRACE_MS=7"});
          EXPECT(apply_setting("grace_ms", "9", SettingSource::file, "b.toml:1", note_problem));
          EXPECT(settings.grace == 7 * kMillisecond);
          EXPECT(!apply_setting("graze_ms", "9", SettingSource::file, "b.toml:2", note_problem));
          EXPECT(problems.empty());
        }) == 0);
}

// --- text that is not ours
// ---------------------------------------------------------------------------------------------

TEST_CASE("a message shows the text of others, and breaks lines only where it says so") {
  Message<256> message;
  const char name[16] = "\x1b[31m\n";
  message.format("{} \"{:4}\" {:>3} {:#x}\n", name, "ab", 7, 255);
  message.append("\xc2\x9b\xff\x7f\t\u00e4");
  CHECK(message.view() == "\\x1b[31m\\x0a \"ab  \"   7 0xff\n\\xc2\\x9b\\xff\\x7f\\x09\u00e4");
  Message<8> small;
  small.format("{}", std::string_view("\x1b\x1b\x1b"));
  CHECK(small.view() == "\\x1b\\x1b");
}

// --- patterns
// -----------------------------------------------------------------------------------------------

TEST_CASE("glob") {
  struct {
    const char *pattern, *text;
    bool matches;
  } const cases[] = {
      {"", "", true},
      {"", "a", false},
      {"*", "", true},
      {"*", "anything", true},
      {"a*", "a", true},
      {"a*", "ba", false},
      {"*.so", "x.so", true},
      {"*.so", "x.so.1", false},
      {"?", "a", true},
      {"?", "", false},
      {"a?c", "abc", true},
      {"a?c", "ac", false},
      {"*a*b*", "xxaxxbxx", true},
      {"*a*b*", "xxbxxaxx", false},
      {"**", "x", true},
      {"a*b*c", "abbbcbc", true},
      {"statsig_python_core*.so", "statsig_python_core.abi3.so", true},
      {"[a]", "a", false},
      {"[a]", "[a]", true},
  };
  for (const auto& c : cases) {
    CAPTURE(c.pattern);
    CAPTURE(c.text);
    CHECK(glob_match(c.pattern, c.text) == c.matches);
  }
  // Many stars against a long text: linear in practice, not exponential.
  const std::string text(20'000, 'a');
  CHECK_FALSE(glob_match("*a*a*a*a*a*a*a*a*b", text));
}

TEST_CASE("items of a list") {
  std::vector<std::string> items;
  for_each_item(" a, b ,,\tc d,", [&](std::string_view item) { items.emplace_back(item); });
  CHECK(items == std::vector<std::string>{"a", "b", "c d"});
  for_each_item("", [&](std::string_view) { CHECK(false); });
  CHECK(base_name("/a/b.so") == "b.so");
  CHECK(base_name("b.so") == "b.so");
  CHECK(base_name("/a/") == "");
}

// --- text
// --------------------------------------------------------------------------------------------

TEST_CASE("text is cut at its size, and says so") {
  Text<8> text;
  text.append("abc").format("{}", 12345);
  CHECK(text.view() == "abc12345");
  CHECK_FALSE(text.truncated());
  text.append('x');
  CHECK(text.truncated());
  CHECK(text.size() == 8);
  text.end_line();
  CHECK(text.view() == "abc1234\n");
  text.clear();
  CHECK(text.size() == 0);
  CHECK_FALSE(text.truncated());
  text.format("{:>20}", "wide");
  CHECK(text.size() == 8);
  CHECK(text.truncated());
  char small[4];
  copy_text(small, "abcdef");
  CHECK(std::string(small) == "abc");
}

TEST_CASE("base64") {
  const char* const cases[][2] = {{"", ""},
                                  {"f", "Zg=="},
                                  {"fo", "Zm8="},
                                  {"foo", "Zm9v"},
                                  {"foob", "Zm9vYg=="},
                                  {"fooba", "Zm9vYmE="},
                                  {"foobar", "Zm9vYmFy"}};  // RFC 4648, section 10
  for (const auto& c : cases) {
    Text<64> text;
    Json(text).base64(reinterpret_cast<const std::uint8_t*>(c[0]), strlen(c[0]));
    CHECK(text.view() == "\"" + std::string(c[1]) + "\"");
  }
}

TEST_CASE("UTC is gmtime's") {
  // Every month of 230 years, at odd times of the day; and the days around leap days and year ends.
  std::vector<std::int64_t> seconds;
  for (std::int64_t s = 0; s < std::int64_t{230} * 366 * 86400; s += 27 * 86400 + 12'345)
    seconds.push_back(s);
  for (std::int64_t s : {0l, 951782400l, 951868799l, 1709164800l, 1735689599l, 1735689600l,
                         4107542399l, 4107542400l})
    for (int d : {-86400, -1, 0, 1, 86400})
      if (s + d >= 0) seconds.push_back(s + d);
  for (const std::int64_t s : seconds) {
    const time_t time = s;
    tm broken;
    gmtime_r(&time, &broken);
    char expected[64];
    const std::size_t n = strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S", &broken);
    snprintf(expected + n, sizeof expected - n, ".%03dZ", static_cast<int>(s % 1000));
    Text<64> text;
    append_utc(text, s * kSecond + s % 1000 * kMillisecond);
    CHECK(text.view() == expected);
  }
}

TEST_CASE("storms: the first three, then each power of ten") {
  std::vector<std::uint32_t> said;
  for (std::uint32_t n = 1; n <= 100'000; n++)
    if (storm::is_said(n)) said.push_back(n);
  CHECK(said == std::vector<std::uint32_t>{1, 2, 3, 10, 100, 1000, 10'000, 100'000});
}

TEST_CASE("storms are counted across processes") {
  CHECK(unit::in_fresh_process([] {
          storm::map_counters();
          for (std::uint32_t i = 1; i <= 5; i++) {
            const pid_t child = fork();
            if (child == 0) _exit(storm::count(77) == i ? 0 : 1);
            EXPECT(unit::reap(child) == 0);
          }
          EXPECT(storm::count(77) == 6);
          EXPECT(storm::count(78) == 1);
          // More than there is room for: every further one is the first.
          for (std::uint64_t fingerprint = 1000; fingerprint < 2000; fingerprint++)
            storm::count(fingerprint);
          EXPECT(storm::count(77) == 7);
          EXPECT(storm::count(5000) == 1 && storm::count(5000) == 1);
        }) == 0);
}

// --- memory, locks, the kernel
// ----------------------------------------------------------------------------------

TEST_CASE("memory is copied where it is mapped, and refused where not") {
  char from[] = "some text", to[sizeof from] = {};
  CHECK(sys::copy_memory(to, from, sizeof from) == sizeof from);
  CHECK(std::string(to) == from);
  const long page = sysconf(_SC_PAGESIZE);
  char* two = static_cast<char*>(
      mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  munmap(two + page, page);
  std::vector<char> buffer(page);
  CHECK(sys::copy_memory(buffer.data(), two + page, 16) == 0);
  CHECK(sys::copy_memory(buffer.data(), two + page - 8, 16) == 8);
  CHECK(sys::copy_memory(buffer.data(), nullptr, 16) == 0);
  munmap(two, page);
}

TEST_CASE("shared memory is told from private") {
  static int in_data;
  int on_stack;
  CHECK_FALSE(in_shared_memory(&in_data));
  CHECK_FALSE(in_shared_memory(&on_stack));
  void* shared = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(in_shared_memory(shared));
  CHECK(in_shared_memory(static_cast<char*>(shared) + 4095));
  munmap(shared, 4096);
  CHECK(in_shared_memory(nullptr));  // it cannot be told
}

TEST_CASE("spin lock") {
  long sum = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20'000; i++) {
        SpinGuard guard(Rank::records);
        sum++;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(sum == 80'000);
  const auto is_free = [](Rank rank, Nanoseconds patience = 0) {
    return static_cast<bool>(Turn(rank, patience));
  };
  CHECK(is_free(Rank::module_map));
  const Turn mine(Rank::module_map);
  CHECK_FALSE(is_free(Rank::module_map));
  CHECK_FALSE(is_free(Rank::module_map, kMillisecond));
  CHECK(is_free(Rank::python_stack));
}

TEST_CASE("spin locks: a child opens all, and knows which were held") {
  CHECK(unit::in_fresh_process([] {
          for (int i = 0; i < spin::kLocks; i += 2) spin::words.held[i].store(1);
          spin::open_all(ChildEntryForTests::get());
          for (int i = 0; i < spin::kLocks; i++) {
            EXPECT(spin::was_held_at_fork(static_cast<Rank>(i)) == (i % 2 == 0));
            SpinGuard guard(static_cast<Rank>(i));
          }
          spin::open_all(ChildEntryForTests::get());
          EXPECT(!spin::was_held_at_fork(Rank::declared_scan));
        }) == 0);
}

#if defined(FORKMEND_CHECK_LOCKS)
TEST_CASE("spin locks: one that is taken out of its order ends the process") {
  CHECK(unit::in_fresh_process([] {
          SpinGuard first(Rank::runtimes);
          SpinGuard second(Rank::records);
        }) == 0);
  const auto wrong_order = [] {
    SpinGuard first(Rank::records);
    SpinGuard second(Rank::runtimes);
  };
  CHECK(unit::in_fresh_process(wrong_order) > 128);
  const auto held_over_a_file = [] {
    SpinGuard held(Rank::records);
    in_shared_memory(nullptr);
  };
  CHECK(unit::in_fresh_process(held_over_a_file) > 128);
}
#endif

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("a stack of one's own, and back on the caller's") {
  char here;
  const auto distance = [&](const char& other) {
    return &other > &here ? &other - &here : &here - &other;
  };
  int steps = 0;
  CHECK(own_stack::run([&] {
    char large[own_stack::kSize / 2];
    large[0] = 1;
    steps += large[0];
    CHECK(distance(large[0]) > 65536);
    CHECK(own_stack::run([&] { steps++; }));  // there already
    own_stack::run_on_callers([&] {
      char near;
      CHECK(distance(near) < 65536);
      CHECK(own_stack::run([&] { steps++; }));  // another one
    });
    char far;
    CHECK(distance(far) > 65536);
  }));
  own_stack::run_on_callers([&] { steps++; });
  CHECK(steps == 4);
}
#endif

TEST_CASE("what the kernel says of a thread") {
  CHECK(kernel_state_letter(sys::gettid()) == 'R');
  CHECK(kernel_state(0x3fffffff) == KernelState::gone);
  std::atomic<int> tid{0};
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  std::thread reader([&] {
    tid = sys::gettid();
    char byte;
    CHECK(read(ends[0], &byte, 1) == 1);
  });
  while (tid == 0 || kernel_state(tid) != KernelState::sleeping) sys::yield();
  CHECK(kernel_activity(tid).syscall == SYS_read);
  CHECK(kernel_activity(tid).address != 0);
  CHECK(count_tasks() >= 2);
  CHECK(write(ends[1], "x", 1) == 1);
  reader.join();
}

TEST_CASE("the version of a Python package, by its dist-info directory") {
  char root[] = "/tmp/forkmend-unit-XXXXXX";
  REQUIRE(mkdtemp(root) != nullptr);
  const std::string site = root;
  for (const char* directory :
       {"pkg", "pkg-1.2.3.dist-info", "pkg_other-9.dist-info", "lone", "odd-.dist-info"})
    REQUIRE(mkdir((site + "/" + directory).c_str(), 0700) == 0);
  const auto version = [](const std::string& path) {
    Text<32> text;
    package::version_of(path, text);
    return std::string(text.view());
  };
  CHECK(version(site + "/pkg/core.abi3.so") == "1.2.3");
  CHECK(version(site + "/lone/x.so") == "");
  CHECK(version(site + "/odd/x.so") == "");
  CHECK(version("no-directory.so") == "");
  CHECK(version("/x.so") == "");
  CHECK(version("/nowhere/at/all.so") == "");
  CHECK(package::listed("0.4.2,0.5.0", "0.5.0"));
  CHECK(package::listed(" 0.4.2 , 0.5.0 ", "0.4.2"));
  CHECK_FALSE(package::listed("0.4.2,0.5.0", "0.5"));
  CHECK_FALSE(package::listed("", ""));
  for (const char* directory :
       {"pkg", "pkg-1.2.3.dist-info", "pkg_other-9.dist-info", "lone", "odd-.dist-info"})
    rmdir((site + "/" + directory).c_str());
  rmdir(root);
}
