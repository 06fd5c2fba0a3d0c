#include "shim/command/event.h"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "shim/command/base64.h"
#include "shim/command/event_store.h"
#include "shim/command/output.h"

using namespace forkmend::command;

namespace {

// The message, or "" if the line is an event.
std::string wrong(const std::string& line) {
  try {
    parse_event(line);
    return "";
  } catch (const FormatError& error) {
    return error.what();
  }
}

std::string lockup(const std::string& rest) {
  return R"({"schema":1,"event":"lockup","id":"abc123","verdict":"certain")" + rest + "}";
}

// A directory that is gone at the end of the test.
class Directory {
 public:
  Directory() {
    char name[] = "/tmp/forkmend-unit-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ + "/" + name, std::ios::binary) << text;
    return path_ + "/" + name;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

TEST_CASE("base64 there and back") {
  for (const std::string text : {"", "f", "fo", "foo", "foob", "fooba", "foobar"}) {
    const auto bytes = base64_decode(base64_encode(text.data(), text.size()));
    REQUIRE(bytes);
    CHECK(std::string(bytes->begin(), bytes->end()) == text);
  }
  CHECK(base64_encode("fooba", 5) == "Zm9vYmE=");
  CHECK(base64_decode("Zm9vYmE")->size() == 5);
  CHECK_FALSE(base64_decode("Zm9v!"));
  CHECK_FALSE(base64_decode("Zm9vY"));
  CHECK_FALSE(base64_decode("Zm=v"));
}

TEST_CASE("the fields of a lockup") {
  const Event event = parse_event(lockup(
      R"(,"time":"2026-11-21T14:02:31.482Z","mono_ns":5,"process":{"pid":12,"start_ticks":3},
"fork":{"parent_pid":9,"caller":[{"addr":"0x10"},{"file":"a.py","line":3,"function":"f"}]},
"wait":{"tid":12,"thread":"main thread","call":"sem_wait","timeout_ns":null,
"object":{"addr":"0x7fa1","kind":"semaphore","pshared":false,"owner_tid":0},
"stack":{"registers":{"ip":"0xffffffffffffffff","sp":"0x20"},"base":"0x20","bytes":"Zm9v",
"truncated":true,"python":[{"file":"b.py","line":1,"function":"g"}]}},
"lost":[{"name":"worker","at_fork":{"wait":"futex","object":"0x5","stack":null},
"held":[{"addr":"0x7fa1","kind":"mutex"}]}],"lost_total":7,
"runtime":{"name":"statsig","measured":null,"version":null},"unknown":{"a":[1]},
"modules":[{"path":"/a","lo":"0x1000","hi":"0x2000","bias":"0x1000","build_id":"00"}])"));
  CHECK(event.process.pid == 12);
  CHECK(event.fork_caller[0].addr == 0x10);
  CHECK(event.fork_caller[1].frame.function == "f");
  CHECK_FALSE(event.wait_timeout_ns);
  CHECK(event.object->pshared == false);
  CHECK(event.wait_stack->at("ip") == UINT64_MAX);
  CHECK(event.wait_stack->at("r12") == 0);
  CHECK(event.wait_stack->bytes.size() == 3);
  CHECK(event.wait_stack->truncated);
  CHECK(event.lost[0].held[0].addr == 0x7fa1);
  CHECK_FALSE(event.lost[0].stack);
  CHECK(event.lost_total == 7);
  CHECK(event.has_runtime);
  CHECK_FALSE(event.runtime_measured);
  CHECK(event.raw.at("unknown").at("a").at(0) == 1);
}

TEST_CASE("a wrong line names the field") {
  CHECK(wrong(lockup("")) == "");
  CHECK(wrong("[]") == "the line is an array, not an object");
  CHECK(wrong("{}") == "it has no schema number: no event of forkmend");
  CHECK(wrong(R"({"schema":2,"event":"x"})") == "schema 2 is newer than this command: update it");
  CHECK(wrong(R"({"schema":1})") == "event is missing");
  CHECK(wrong(R"({"schema":1,"event":"lockup"})") == "id is missing");
  CHECK(wrong(lockup(R"(,"process":{"pid":"4"})")) ==
        "process.pid is a string, not a whole number");
  CHECK(wrong(lockup(R"(,"process":{"pid":5000000000})")) == "process.pid is out of range");
  CHECK(wrong(lockup(R"(,"mono_ns":18446744073709551615)")) == "mono_ns is out of range");
  CHECK(wrong(lockup(R"(,"lost":[{},{"held":[{"addr":12}]}])")) ==
        "lost[1].held[0].addr is a number, not a string");
  CHECK(wrong(lockup(R"(,"wait":{"object":{"addr":"7f"}})")) ==
        "wait.object.addr is no address of the form 0x…");
  CHECK(wrong(lockup(R"(,"wait":{"stack":{"bytes":"!"}})")) ==
        "the bytes of a stack are not base64");
  CHECK(wrong(lockup(R"(,"truncated":[1])")) == "truncated[0] is a number, not a string");
  CHECK(wrong(R"({"schema":1,)").find("not JSON, column") == 0);
  CHECK(wrong(R"({"schema":1,"event":"off","x":)" + std::string(100000, '[')) ==
        "it is nested too deeply");
}

TEST_CASE("wrong lines are told of, and the others are not lost") {
  const Directory directory;
  directory.write("b.jsonl", lockup(R"(,"time":"2026-01-01T00:00:02Z")") + "\n{bad\n\n" +
                                 lockup(R"(,"time":"2026-01-01T00:00:00Z")") +
                                 "\n{\"schema\":1,\"ev");
  directory.write("a.jsonl", lockup(R"(,"time":"2026-01-01T00:00:01Z")"));  // no newline at its end
  directory.write("other.txt", "{bad\n");
  const Reports reports = read_reports(directory.path());
  REQUIRE(reports.events.size() == 3);
  CHECK(reports.events[0].time == "2026-01-01T00:00:00Z");
  CHECK(reports.events[1].time == "2026-01-01T00:00:01Z");
  CHECK(reports.events[0].line == 4);
  REQUIRE(reports.problems.size() == 2);
  CHECK(reports.problems[0].find(directory.path() + "/b.jsonl:2: not JSON") == 0);
  CHECK(reports.problems[1].find(directory.path() + "/b.jsonl:5: the last line is cut short") == 0);
}

TEST_CASE("what others have put into a directory is not followed and not waited for") {
  const Directory directory;
  const Directory elsewhere;
  elsewhere.write("c.jsonl", lockup("") + "\n");
  REQUIRE(symlink((elsewhere.path() + "/c.jsonl").c_str(),
                  (directory.path() + "/a.jsonl").c_str()) == 0);
  REQUIRE(mkfifo((directory.path() + "/b.jsonl").c_str(), 0600) == 0);
  const Reports reports = read_reports(directory.path());
  CHECK(reports.events.empty());
  REQUIRE(reports.problems.size() == 2);
  CHECK(reports.problems[0] == directory.path() + "/a.jsonl: cannot be read: a link; file skipped");
  CHECK(reports.problems[1] ==
        directory.path() + "/b.jsonl: cannot be read: no regular file; file skipped");
  CHECK(read_reports(directory.path() + "/a.jsonl").events.size() == 1);  // named by the reader
}

TEST_CASE("a file that is not there is one problem") {
  const Reports reports = read_reports("/nonexistent.jsonl");
  CHECK(reports.events.empty());
  REQUIRE(reports.problems.size() == 1);
  CHECK(reports.problems[0] ==
        "/nonexistent.jsonl: cannot be read: No such file or directory; file skipped");
}

TEST_CASE("text from elsewhere cannot control the terminal") {
  CHECK(printable("gunicorn: worker") == "gunicorn: worker");
  CHECK(printable("\x1b[31m\n\x7f") == "\\x1b[31m\\x0a\\x7f");
  CHECK(printable("\u00e4\u20ac\U0001f600") == "\u00e4\u20ac\U0001f600");
  CHECK(printable("\xc2\x9b") == "\\xc2\\x9b");  // C1: the same as ESC [
  CHECK(printable("\xff\xc3") == "\\xff\\xc3");  // not UTF-8, and cut short
  CHECK(printable("\xc0\x80\xed\xa0\x80").find('\xc0') == std::string::npos);
}

TEST_CASE("lines are broken at spaces") {
  CHECK(wrapped("", 10) == std::vector<std::string>{""});
  CHECK(wrapped("one two three", 7) == std::vector<std::string>{"one two", "three"});
  CHECK(wrapped("unbreakable", 3) == std::vector<std::string>{"unbreakable"});
}
