"""The exit phase: what runs, in which order, and that a process can always leave."""


from cases.python import INTERPRETERS
from harness import places
from harness.process import Failure
from harness.registry import test

LIBRARY = places.PROGRAMS / "libexit_entry.so"
DEADLINE_MS = 400
# Beyond the deadline: what a loaded machine takes to run a thread that has become runnable.
SLACK_MS = 1500


def code_and_output(t, *arguments, **settings):
    process = t.start(*arguments, **settings)
    code = process.wait(30)
    return code, process.output, process.stderr_lines


# --- callbacks ---------------------------------------------------------------------------------------------


@test("exit/stop in the order of exit handlers")
def order(t):
    handlers = ["handler after three", "destructor between two and three", "handler between one and two",
                "destructor of what was there before", "buffered"]
    code, output, errors = code_and_output(t, "exit_phase", "order", shim=False)
    t.same("without the shim", (code, output, errors), (7, handlers, []))
    code, output, errors = code_and_output(t, "exit_phase", "order")
    t.same("with it", (code, errors), (7, []))
    t.same("what the program itself does", [line for line in output if not line.startswith("stop")], handlers)
    t.same("all of it", output, ["handler after three", "stop three", "destructor between two and three", "stop two",
                                 "handler between one and two", "stop one", "destructor of what was there before",
                                 "buffered"])


def way_out(t, mode, code, expected):
    t.same("without the shim", code_and_output(t, "exit_phase", mode, shim=False)[:2],
           (code, [line for line in expected if not line.startswith("stop")]))
    t.same("with it", code_and_output(t, "exit_phase", mode), (code, expected, []))


for mode, code, expected in (("err", 7, ["stop one"]), ("thread", 7, ["stop one"]), ("last", 0, ["stop one"]),
                             ("quick", 7, ["stop one"]), ("child", 7, ["child over", "stop one"]),
                             ("handler", 7, ["used", "stop one"]), ("earlier", 7, ["stop one", "used"])):
    test("exit/way out/" + mode, mode, code, expected, beside="exit-ways")(way_out)


def held_up(t, mode, step):
    """The exit code is kept, the delay is the deadline's, and the report says who."""
    process = t.start("exit_phase", mode, FORKMEND_EXIT_MS=DEADLINE_MS)
    t.same("exit code", process.wait(30), 7)
    missed = t.claim_all("stop-missed")
    t.same("reports", [(event["runtime"], event["step"], event["allowed_ns"]) for event in missed],
           [("one", step, DEADLINE_MS * 1_000_000)])
    waited_ms = missed[0]["waited_ns"] / 1e6
    t.check(DEADLINE_MS <= waited_ms <= DEADLINE_MS + SLACK_MS, "it waited %.0f ms" % waited_ms)
    t.same("stderr", process.stderr_lines, [])
    t.note("held up for %.0f ms" % waited_ms)


test("exit/a stop callback that hangs", "hang", "stop", beside="exit-ways")(held_up)
test("exit/a thread that does not stop", "stays", "join", beside="exit-ways")(held_up)


# --- static destruction -----------------------------------------------------------------------------------


@test("exit/static condition variable with a waiter")
def static_cond(t):
    t.hangs_without("exit_static", "cond", step="leaves")
    t.run("exit_static", "cond", expect=7)


def static_crash(t, mode):
    code = code_and_output(t, "exit_static", mode, shim=False)[0]
    if code <= 128:
        raise Failure("not reproduced: without the shim it ends with %d" % code)
    for _ in range(5):
        t.run("exit_static", mode, expect=7)


# Whether it dies without depends on a race that is lost on a busy machine.
test("soak/exit/static mutex that a thread still locks", "mutex", soak=True)(static_crash)
test("exit/static container that a thread still fills", "container")(static_crash)


@test("exit/static destructor that waits for a thread")
def static_needed(t):
    t.run("exit_static", "needed", shim=False, expect=7)
    t.run("exit_static", "needed", expect=7)


SPDLOG = """name = "spdlog"
policy = "drain"
[match]
dso = ["libspdlog.so*"]
"""
SPDLOG_LINES = "".join("line %d\n" % number for number in range(1000)).encode()


@test("exit/spdlog with a full queue")
def spdlog(t):
    """Every line is written, with its worker held at the gate in the end, and without."""
    profile, written = t.directory / "spdlog.toml", t.directory / "log.txt"
    profile.write_text(SPDLOG)
    for settings in ({"shim": False}, {}, {"FORKMEND_PROFILES": profile}):
        t.run("exit_spdlog", written, expect=7, **settings)
        t.same("lines", written.read_bytes(), SPDLOG_LINES)


# --- interpreters --------------------------------------------------------------------------------------------

CLEAN = ["atexit", "leaves"]


def stops_them_itself(interpreter):
    """Since 3.14 CPython keeps a thread that comes too late for ever, where earlier ones ended it (pthread_exit)."""
    return interpreter.version >= (3, 14)


def enters_late(t, interpreter):
    """Threads that come too late kill the process without the shim; with it nothing is skipped, and the code is kept."""
    for mode in ("unwind", "late", "mutex", "futex", "join"):
        code = t.python(interpreter.path, "exit_entry.py", LIBRARY, mode, shim=False).wait(30)
        if code <= 128 and not stops_them_itself(interpreter):
            raise Failure("not reproduced: without the shim %s ends with %d" % (mode, code))
        process = t.python(interpreter.path, "exit_entry.py", LIBRARY, mode, FORKMEND_EXIT_MS=DEADLINE_MS)
        t.same("exit code of " + mode, process.wait(30), 3)
        t.same("stderr of " + mode, process.stderr_lines, [])
        t.same("output of " + mode, process.output[:2], ["leaves", "atexit"])
        handled = process.output[2].split()
        t.same("the exit handler of " + mode, handled[0], "handled")
        if len(handled) > 2:
            t.check(int(handled[2]) <= DEADLINE_MS + SLACK_MS, "%s: %s ms" % (mode, handled[2]))
    freed = t.claim_all("exit-freed")
    t.same("what was freed", [(event["kind"], event["action"]) for event in freed],
           [("mutex", "opened"), ("futex", "opened")])


def asks_first(t, interpreter):
    """A thread that asks before it enters, and stays away, is left alone."""
    for shim in (False, True):
        process = t.python(interpreter.path, "exit_entry.py", LIBRARY, "asks", shim=shim)
        t.same("exit code", process.wait(30), 3)
        t.same("output", process.output, ["leaves", "atexit", "handled"])


for interpreter in INTERPRETERS:
    test("exit/late threads/" + interpreter.label, interpreter, deadline=120)(enters_late)
    test("exit/threads that ask first/" + interpreter.label, interpreter)(asks_first)


def same_end(t, interpreter):
    """Handlers, finalizers, destructors and buffers: the same bytes in the same order."""
    results = []
    for shim in (False, True):
        path = t.directory / ("file-%s" % shim)
        process = t.python(interpreter.path, "exit_order.py", LIBRARY, path, shim=shim)
        code = process.wait(30)
        results.append((code, process.output, process.stderr_lines, path.read_bytes()))
    t.same("with the shim", results[1], results[0])
    t.check(len(results[0][1]) >= 9 and results[0][0] == 3, "too little to compare: %r" % (results[0],))


for interpreter in INTERPRETERS:
    test("exit/same end/" + interpreter.label, interpreter)(same_end)
