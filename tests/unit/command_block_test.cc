// The words of the report: sentences, groups, alignment.
#include "shim/command/block.h"

#include <doctest/doctest.h>

#include <string>

using namespace forkmend::command;

namespace {

const Style kPlain(false);

Event sdk_event() {
  return parse_event(R"({"schema":1,"event":"lockup","id":"3f9a1c","verdict":"certain",
"time":"2026-11-21T14:02:31.482Z","mono_ns":31000000000,
"process":{"pid":4127,"generation":1,"argv0":"gunicorn: worker","exe":"/usr/bin/python3"},
"fork":{"time":"2026-11-21T14:02:11.350Z","mono_ns":11000000000,"parent_pid":4101,
"caller":[{"file":"/v/lib/python3.11/site-packages/gunicorn/arbiter.py","line":633,"function":"spawn_worker"}]},
"wait":{"tid":4127,"thread":"MainThread","call":"sem_wait","since_mono_ns":29900000000,
"object":{"addr":"0x7fa17dc0","kind":"semaphore","pshared":false,"owner_tid":0},
"stack":{"registers":{},"base":"0x0","bytes":"","python":[
{"file":"/usr/lib/python3.11/threading.py","line":327,"function":"Condition.wait"},
{"file":"/usr/lib/python3.11/queue.py","line":90,"function":"Queue.join"},
{"file":"/srv/app/metrics.py","line":41,"function":"flush"}]}},
"lost":[{"generation":0,"serial":2,"tid_in_parent":4109,"name":"sdk-consumer"}],
"evidence":[{"code":"x","text":"this process has 1 thread, and it is the one that waits"}],
"fixes":[{"kind":"now","setting":"FORKMEND_ON_LOCKUP=abort","text":"core + SIGABRT"}],
"runtime":{"name":"python","policy":"report","profile":"none"}})");
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("the whole block of a Python lockup") {
  Event event = sdk_event();
  event.file = "r.jsonl";
  event.line = 3;
  CHECK(full_block(event, analyse(event, ""), {}, kPlain) ==
        R"(forkmend: LOCKUP certain 3f9a1c  gunicorn: worker [4127]  2026-11-21T14:02:31.482Z
  MainThread waits for ever in Queue.join(): "sdk-consumer", the thread that would end the wait, ran
  only in the parent and did not survive fork().

PROCESS   4127, forked from 4101 at 14:02:11.350Z (20 s before), generation 1
          /usr/bin/python3
          fork() called by gunicorn/arbiter.py:633 spawn_worker
WAITING   MainThread (tid 4127) for 1.1 s, no timeout: sem_wait 0x7fa17dc0
          threading.py:327        Condition.wait
          queue.py:90             Queue.join
          /srv/app/metrics.py:41  flush           <- first frame of yours
OBJECT    0x7fa17dc0: semaphore, private
LOST      "sdk-consumer" (tid 4109 of 4101)
EVIDENCE  this process has 1 thread, and it is the one that waits
RUNTIME   python: no profile, policy report
FIX NOW   FORKMEND_ON_LOCKUP=abort   core + SIGABRT
FROM      r.jsonl:3
)");
}

TEST_CASE("who is to blame is named, and else all are counted") {
  Event event = sdk_event();
  event.lost.push_back(event.lost[0]);
  event.lost_total = 5;
  for (LostThread& lost : event.lost) lost.runtime = "statsig";
  CHECK(
      contains(sentence(event, {}), ": 5 threads of statsig, which would end the wait, ran only"));
  event.lost[1].runtime = "tokio";
  CHECK(contains(sentence(event, {}), ": 5 threads, \"sdk-consumer\" among them, which would end"));
  event.cause = "lost-waiter";
  CHECK(contains(sentence(event, {}), ": \"sdk-consumer\", the thread that would end the wait,"));
  event.lost[0].name.clear();
  CHECK(contains(sentence(event, {}), ": thread 4109 of 4101, which would end the wait,"));
}

TEST_CASE("sentences") {
  Event event = sdk_event();
  event.wait_stack.reset();
  event.wait_thread = "main thread";
  event.wait_call = "pthread_mutex_lock";
  CHECK(sentence(event, {}) ==
        "The main thread waits for ever in pthread_mutex_lock(): \"sdk-consumer\", the thread that "
        "would end the wait, ran only in the parent and did not survive fork().");

  event.lost[0].held.push_back({event.object->addr, "mutex"});
  Analysis analysis;
  analysis.object = DataSymbol{"registry", 0, "/srv/orphan", 0x40c0, ".bss"};
  event.object->kind = "mutex";
  CHECK(sentence(event, analysis) ==
        "The main thread waits for ever for mutex `registry`: a thread that did not survive fork() "
        "holds it. Nobody in this process can unlock it.");

  event.lost.clear();
  event.verdict = "likely";
  CHECK(sentence(event, {}) ==
        "The main thread waits, most likely for ever, in pthread_mutex_lock(): no thread of this "
        "process can end the wait.");
}

TEST_CASE("threads of one pool are told of once") {
  Event event = sdk_event();
  event.lost.assign(12, event.lost[0]);
  for (int i = 0; i < 12; ++i) event.lost[static_cast<std::size_t>(i)].tid_in_parent = 100 + i;
  event.lost_total = 20;
  const std::string block = full_block(event, analyse(event, ""), {}, kPlain);
  CHECK(contains(block,
                 "LOST      12 threads \"sdk-consumer\" (tids 100, 101, 102, 103, 104, 105, "
                 "106, 107, ... of 4101)\n"));
  CHECK(contains(block, "          and 8 more threads\n"));
}

TEST_CASE("events of the same process are added") {
  const Event event = sdk_event();
  const Event missed = parse_event(R"({"schema":1,"event":"drain-missed",
"time":"2026-11-21T14:02:11.300Z","process":{"pid":4127},"runtime":"statsig","waited_ns":50000000,
"threads":[{"tid":7,"name":"w","state":"R","doing":"in sem_wait"},{"tid":8,"name":"","doing":"running"},5]})");
  const std::string block = full_block(event, analyse(event, ""), {&missed}, kPlain);
  CHECK(contains(block,
                 "ALSO SEEN 14:02:11.300Z  drain-missed, runtime statsig, waited 50.0 ms: \"w\" in "
                 "sem_wait; unnamed\n"
                 "          running\n"));
}

TEST_CASE("a row of the list") {
  CHECK(
      list_row(sdk_event(), kPlain) ==
      "3f9a1c  certain  2026-11-21T14:02:31.482Z  gunicorn: worker [4127]  MainThread in sem_wait "
      "waits for \"sdk-consumer\", lost at fork");
}

TEST_CASE("frames that say nothing are left out") {
  NamedStack stack;
  const auto add = [&](const char* module, const char* function, bool inlined = false) {
    Frame frame;
    frame.module = module;
    frame.function = function;
    frame.inlined = inlined;
    frame.offset = 0x10;
    stack.frames.push_back(frame);
  };
  add("/lib/libc.so.6", "sem_wait");
  add("/usr/bin/server", "std::f()", true);
  add("/usr/bin/server", "work()");
  add("/lib/libc.so.6", "start_thread");
  mark_yours(stack.frames);
  CHECK(frame_rows(stack, 10, kPlain) ==
        std::vector<std::string>{"#0  sem_wait    libc.so.6+0x10",
                                 "#1  work        server+0x10  <- first frame of yours"});
  stack.ended = "the copy of the stack ends here";
  CHECK(frame_rows(stack, 10, kPlain).size() == 4);
  CHECK(frame_rows(stack, 1, kPlain)[1] == "   ... 2 more, see --json");
}
