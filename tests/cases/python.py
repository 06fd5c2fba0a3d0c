"""CPython under the shim: Statsig as users have it, healthy children, and Python alone.

Every CPython that scripts/setup found is tested, with the packages that it installed for it.
"""

import sys
from pathlib import Path

from harness import places
from harness.process import Failure, stands_still
from harness.registry import test

sys.path.insert(0, str(places.ROOT / "scripts"))
from repro_suite.interpreters import find_interpreters  # noqa: E402

VERSIONS = ("0.5.0", "0.4.2")
ACTIONS = ("flush", "shutdown", "new")
THRESHOLD_S = 3.0
LOST_THREADS = 5
UNCURED = {"FORKMEND_POLICY": "statsig:report", "FORKMEND_THRESHOLD_MS": int(THRESHOLD_S * 1000)}


def site(interpreter, version) -> Path:
    directory = places.SITES / interpreter.tag / ("statsig-" + version)
    if not (directory / ".installed").exists():
        raise Failure("statsig %s is not installed for %s: run scripts/setup test" % (version, interpreter.label))
    return directory


def has_wheels(interpreter) -> bool:
    """False where scripts/setup found that there is none (it says so, and remembers)."""
    return not any((places.SITES / interpreter.tag / ("statsig-" + version) / ".missing").exists() for version in VERSIONS)


INTERPRETERS = find_interpreters()
WITH_WHEELS = [interpreter for interpreter in INTERPRETERS if has_wheels(interpreter)]


# --- lockups ---------------------------------------------------------------------------------------------


def start_all(t, interpreter, **settings):
    return [(version, action, t.python(interpreter.path, "statsig_child.py", action, site=site(interpreter, version),
                                       **settings))
            for version in VERSIONS for action in ACTIONS]


def reported_as_likely(t, interpreter):
    """6 of 6: found, in time, and with everything that a person needs."""
    for version, action, program in start_all(t, interpreter, shim=False):
        pid = int(program.wait_for_line(r"^step uses \d+ (\d+)$", 30)[1])
        if not stands_still(pid, 1.0):
            raise Failure("not reproduced: without the shim %s of %s goes on" % (action, version))
        program.kill_child(pid)
        program.wait(10)
    latest = 0.0
    for version, _, program in start_all(t, interpreter, **UNCURED):
        event = t.lockup(program, "uses", "likely", THRESHOLD_S + 1)
        latest = max(latest, (event["mono_ns"] - program.steps()["uses"][0]) / 1e9)
        check_report(t, event, program, version)
    t.note("the last one after %.2f s" % latest)


def check_report(t, event, program, version):
    runtime = event["runtime"]
    t.same("the runtime", (runtime["name"], runtime["policy"], runtime["profile"]), ("statsig", "report", "built in"))
    t.check(Path(runtime["dso"]).name.startswith("statsig_python_core"), "its DSO is %r" % runtime["dso"])
    t.same("its version", (runtime["version"], runtime["measured"]), (version, True))
    t.same("threads in the parent", program.steps()["threads"][1], LOST_THREADS)
    t.same("lost threads", event["lost_total"], LOST_THREADS)
    for lost in event["lost"]:
        t.same("a lost thread", (lost["name"], lost["runtime"]), ("statsig", "statsig"))
        t.check(lost["at_fork"]["wait"] in ("futex", "epoll_wait"), "it was in %r" % lost["at_fork"]["wait"])
        t.check(lost["at_fork"]["stack"]["bytes"], "it has no stack")
    frames = event["wait"]["stack"]["python"]
    own = [(Path(frame["file"]).name, frame["function"]) for frame in frames if frame["file"].endswith("_child.py")]
    t.same("the user's frames", own[:2], [("statsig_child.py", "use_client"), ("statsig_child.py", "handle_request")])
    t.check(event["wait"]["stack"]["bytes"] and event["wait"]["call"] in ("sem_wait", "futex"),
            "the wait is %r" % event["wait"]["call"])
    caller = event["fork"]["caller"]
    t.check(any(frame.get("file", "").endswith("steps.py") for frame in caller), "fork's caller is %r" % caller)
    t.check(any(fix["setting"] == "FORKMEND_POLICY" for fix in event["fixes"]), "the cure is not offered")
    t.check(any(fix["kind"] == "code" for fix in event["fixes"]), "no change of the program is offered")


for interpreter in WITH_WHEELS:
    test("statsig/likely/" + interpreter.label, interpreter, deadline=90)(reported_as_likely)


@test("statsig/report as text")
def report_as_text(t):
    """What a person reads: both kinds of stack with names, and what to do."""
    interpreter = WITH_WHEELS[-1]
    t.python(interpreter.path, "statsig_child.py", "flush", site=site(interpreter, "0.5.0"), FORKMEND_ON_LOCKUP="exit:4",
             **UNCURED).wait(30)
    event = t.claim_all("lockup")[0]
    text = "\n".join(t.run(places.COMMAND, "report", event["id"], shim=False, FORKMEND_DIR=t.reports).output)
    for wanted in ("statsig_child.py", "use_client", "statsig_python_core", "sem_wait", "FORKMEND_POLICY", "statsig",
                   "epoll_wait"):
        t.check(wanted in text, "the report does not say %r:\n%s" % (wanted, text))


# --- health ------------------------------------------------------------------------------------------------

MODES = ("event", "event-after-log", "sigwait", "queue", "accept", "epoll", "join")
QUICK_S, QUICK = 8, {"FORKMEND_THRESHOLD_MS": 2000, "FORKMEND_GRACE_MS": 500}


def stays_silent(t, interpreter, seconds, settings):
    """All ways to wait at once, with the cure on and off: no report, nothing on stderr, and the end is the right one."""
    programs = [(mode, t.python(interpreter.path, "healthy_child.py", mode, seconds, site=site(interpreter, "0.5.0"),
                                **settings, **policy))
                for mode in MODES for policy in ({}, {"FORKMEND_POLICY": "statsig:report"})]
    for _, program in programs:
        program.wait_for_line(r"^step waits ", 90)  # a hundred interpreters start at the same time
    for mode, program in programs:
        t.same("the end of " + mode, program.wait(seconds + 30), 0)
        shim_lines = [line for line in program.stderr_lines if "forkmend" in line]
        t.check(not shim_lines, "%s: on stderr: %r" % (mode, shim_lines[:3]))


for interpreter in WITH_WHEELS:
    test("python/healthy waits/" + interpreter.label, interpreter, QUICK_S, QUICK, beside="python-healthy",
         deadline=150)(stays_silent)
    test("soak/python/healthy waits of 30 s/" + interpreter.label, interpreter, 30, {}, soak=True, deadline=150)(
        stays_silent)


def signal_while_it_looks(t, interpreter, rounds):
    """Each signal ends the wait that it meets, and what its handler raises reaches the program."""
    program = t.python(interpreter.path, "signal_at_look.py", rounds, FORKMEND_GRACE_MS=20, FORKMEND_THRESHOLD_MS=20)
    t.same("exit code", program.wait(60), 0)


for interpreter in INTERPRETERS:
    test("python/signal while it looks/" + interpreter.label, interpreter, 100, deadline=90)(signal_while_it_looks)


def healthy_forks(t, interpreter, forks):
    for version in VERSIONS:
        program = t.python(interpreter.path, "healthy_forks.py", forks, site=site(interpreter, version))
        t.same("exit code", program.wait(900), 0)
    # A runtime that is not idle when it is forked is waited for; it may not be idle in time.
    t.claim_all("drain-missed")


for interpreter in WITH_WHEELS:
    test("python/healthy forks/" + interpreter.label, interpreter, 60, deadline=120)(healthy_forks)
    test("soak/python/1,000 healthy forks/" + interpreter.label, interpreter, 1000, soak=True, deadline=1800)(
        healthy_forks)


# --- Python alone ----------------------------------------------------------------------------------------------


def alone(t, interpreter):
    """As without the shim, to the byte; and no thread of the shim's."""
    without, with_shim = (t.python(interpreter.path, "plain_python.py", shim=shim) for shim in (False, True))
    for program in (without, with_shim):
        t.same("exit code", program.wait(60), 0)
    t.same("stderr", with_shim.stderr_lines, without.stderr_lines)
    t.same("threads", with_shim.steps()["tasks"][1], without.steps()["tasks"][1])


for interpreter in INTERPRETERS:
    test("python/alone/" + interpreter.label, interpreter, deadline=90)(alone)


@test("python/multiprocessing, 10,000 rounds", deadline=240)
def shared_rounds(t):
    """Process-shared locks are left alone, also where orphans are opened."""
    t.same("without the shim", t.python(INTERPRETERS[-1].path, "shared_rounds.py", "1000", shim=False).wait(60), 0)
    program = t.python(INTERPRETERS[-1].path, "shared_rounds.py", "10000", FORKMEND_ORPHANS="reset")
    t.same("exit code", program.wait(200), 0)
    t.same("output", program.output[-1], "well")


@test("python/beside jemalloc and libfaketime", deadline=120)
def beside_others(t):
    from cases.loading import FAKETIME

    for other, settings in ((places.JEMALLOC, {}), (FAKETIME, {"FAKETIME": "+1d"})):
        for libraries in ((other, places.LIBRARY), (places.LIBRARY, other)):
            program = t.python(INTERPRETERS[-1].path, "plain_python.py", LD_PRELOAD=":".join(map(str, libraries)),
                               **settings)
            t.same("exit code beside " + Path(other).name, program.wait(60), 0)
