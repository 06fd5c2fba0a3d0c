"""Python's own lost threads: they come back at the first put, and what waits for one that does not is a certain lockup.

The standard library on every CPython found; Langfuse 4.12.0 on those it has wheels for.
"""

import sys
from collections import Counter

from harness import places
from harness.process import Failure
from harness.registry import test

sys.path.insert(0, str(places.ROOT / "scripts"))
from repro_suite.fakes import FakeService  # noqa: E402
from repro_suite.interpreters import find_interpreters  # noqa: E402

INTERPRETERS = find_interpreters()
LATEST = INTERPRETERS[-1]
SCRIPT = places.PRELOAD / "lost_threads.py"
OWN = {"FORKMEND_PROFILES": "+python:__main__"}
CERTAIN_S = 2.0
LANGFUSE = "4.12.0"


# --- the standard library ------------------------------------------------------------------------------

HANGING = ("queue-join", "pending", "priority-queue", "global-queue", "grandchild", "class-locks", "own-locks", "executor", "executor-exit", "event-loop")
LOSING = ("simple-queue", "queue-listener", "queue-listener-simple")
WRONG = 2


def comes_back(t, case, losing):
    """Shown once without the shim; then on every interpreter with it."""
    if losing:
        t.run(str(LATEST.path), SCRIPT, case, shim=False, expect=WRONG)
    else:
        t.hangs_without(str(LATEST.path), str(SCRIPT), case, step="uses")
    for interpreter in INTERPRETERS:
        t.run(str(interpreter.path), SCRIPT, case, PYTHONDONTWRITEBYTECODE="1", **OWN)


for case in HANGING:
    test("python/threads/" + case, case, False, beside="python-threads", deadline=90)(comes_back)
for case in LOSING:
    test("python/threads/" + case, case, True, beside="python-threads", deadline=90)(comes_back)


@test("python/threads/not-daemon", beside="python-threads", deadline=90)
def not_daemon(t):
    """The child ends by itself, with the work done; without the shim the work is lost (its reader waits for ever)."""
    t.start(str(LATEST.path), SCRIPT, "not-daemon", shim=False).wait_for_line(r"^step reaped \d+ 0$", 20)
    for interpreter in INTERPRETERS:
        t.run(str(interpreter.path), SCRIPT, "not-daemon", **OWN)


@test("python/threads/idle", beside="python-threads", deadline=60)
def idle(t):
    for interpreter in INTERPRETERS:
        t.run(str(interpreter.path), SCRIPT, "idle", **OWN)


@test("python/threads/switched off", beside="python-threads", deadline=60)
def switched_off(t):
    """Nothing is started, the lockup is reported, and the setting that helps is named."""
    for interpreter in INTERPRETERS:
        event = t.lockup(t.start(str(interpreter.path), SCRIPT, "queue-join", FORKMEND_PROFILES="-python:*"), "uses",
                         "certain", CERTAIN_S)
        t.same("the cause", event["cause"], "lost-consumer")
        settings = [fix["setting"] for fix in event["fixes"]]
        t.check("FORKMEND_PROFILES=+python:__main__" in settings, "the fix is not offered: %r" % settings)
        t.check("Queue.join" in event["evidence"][0]["text"], "the queue is not named: %r" % event["evidence"])


UNCURED = {"queue-join": ("lost-consumer", "python:__main__"), "future": ("lost-workers", "concurrent-futures"),
           "thread-join": ("join-of-lost-thread", "python:__main__")}


def certain(t, case):
    cause, runtime = UNCURED[case]
    t.hangs_without(str(LATEST.path), str(SCRIPT), case, step="uses")
    for interpreter in INTERPRETERS:
        program = t.start(str(interpreter.path), SCRIPT, case, FORKMEND_POLICY=runtime + ":report", **OWN)
        event = t.lockup(program, "uses", "certain", CERTAIN_S)
        t.same("the cause", event["cause"], cause)
        t.same("the lost thread", event["lost"][0]["generation"], 0)


for case in UNCURED:
    test("python/certain/" + case, case, beside="python-certain", deadline=90)(certain)


# --- threads that nobody named ----------------------------------------------------------------------------

HANDED = places.PRELOAD / "handed_over.py"
SHAPES = ("queue", "simple-queue", "event", "condition", "list", "loop", "pair")
LEFT_ALONE = ("stop-event", "producer", "takes-itself", "takes-itself-simple", "own-threads", "restarts-at-fork",
              "restarts-at-put", "between-processes")
LOST = 3


def handed_over(t, shape, interpreters, sizes, forks):
    """Default settings: work goes through chains of threads that the fork lost. Without the shim it is lost with them."""
    t.run(str(LATEST.path), HANDED, shape, shim=False, expect=LOST)
    for interpreter in interpreters:
        for stages, threads in sizes:
            t.run(str(interpreter.path), HANDED, shape, stages, threads, forks, PYTHONDONTWRITEBYTECODE="1")


for shape in SHAPES:
    many = () if shape == "loop" else ((1, 20), (3, 20))
    test("python/handed over/" + shape, shape, INTERPRETERS, ((1, 1), (3, 1)) + many[:1], 1, beside="python-handed",
         deadline=120)(handed_over)
    test("soak/python/handed over/" + shape, shape, INTERPRETERS, ((1, 1), (3, 1)) + many, 100, soak=True,
         deadline=3000)(handed_over)


def left_alone(t, case):
    """A child that hands nothing over, takes by itself, or whose library heals itself: the same as without the shim."""
    t.run(str(LATEST.path), HANDED, case, shim=False)
    for interpreter in INTERPRETERS:
        t.run(str(interpreter.path), HANDED, case, PYTHONDONTWRITEBYTECODE="1")


for case in LEFT_ALONE:
    test("python/left alone/" + case, case, beside="python-handed", deadline=90)(left_alone)


def waits_for_parents(t, case):
    """join() and put() where only lost threads could end the wait."""
    t.hangs_without(str(LATEST.path), str(HANDED), case, step="uses")
    for interpreter in INTERPRETERS:
        t.run(str(interpreter.path), HANDED, case, PYTHONDONTWRITEBYTECODE="1")


for case in ("join-of-parents", "full"):
    test("python/handed over/" + case, case, beside="python-handed", deadline=90)(waits_for_parents)


# --- locks inside the interpreter ----------------------------------------------------------------------------

INNER = places.PRELOAD / "inner_locks.py"
INNER_STEPS = {"log": "writes", "write": "writes", "read": "closes", "import": "imports"}
FORKS = 10


def inner_locks(t, case, forks):
    """Not every fork finds the lock taken: of ten one does, without the shim."""
    t.hangs_without(str(LATEST.path), str(INNER), case, str(FORKS if case in ("log", "write") else 1),
                    step=INNER_STEPS[case])
    for interpreter in INTERPRETERS:
        t.run(str(interpreter.path), INNER, case, forks, PYTHONDONTWRITEBYTECODE="1", PYTHONWARNINGS="ignore")


for case in INNER_STEPS:
    test("python/inner locks/" + case, case, FORKS, deadline=240)(inner_locks)
    test("soak/python/inner locks/" + case, case, 100, soak=True, deadline=3000)(inner_locks)


# --- Langfuse -------------------------------------------------------------------------------------------

CASES = {  # what has to have arrived, each exactly once
    "class-rlock": ("before", "child", "parent"), "queue-mutex": ("before", "child", "parent"),
    "http-pool": ("before", "child", "parent"), "mid-post": ("pending", "child", "parent"),
    "forker-rlock": ("child", "parent"), "forker-mutex": ("child", "parent"),
    "own-client": ("before", "child", "parent"), "eagain": ("before", "child", "child-2", "parent"),
    "stopped": ("before",),
}
# The child of a client that was stopped does nothing, and nothing is its whole point.
HEALTHY = ("stopped",)
# A consumer is inside its POST for this long.
SLOW_MS = 600


def site(interpreter):
    directory = places.SITES / interpreter.tag / ("langfuse-" + LANGFUSE)
    return directory if (directory / ".installed").exists() else None


def hard_case(t, case, interpreter, rounds):
    directory = site(interpreter)
    if directory is None:
        raise Failure("langfuse %s is not installed for %s: run scripts/setup test" % (LANGFUSE, interpreter.label))
    with FakeService("langfuse") as service:
        service.get("/slow?ms=%d" % (SLOW_MS if case == "mid-post" else 0))

        def start(prefix, **options):
            return t.python(interpreter.path, "langfuse_child.py", case, service.url, prefix, site=directory, **options)

        if case not in HEALTHY:
            t.same("the end without the shim", start("without", shim=False).wait(60), 99)
        for number in range(rounds):
            prefix = "r%d" % number
            t.same("exit code", start(prefix).wait(60), 0)
            arrived = Counter(event["name"] for event in service.get("/events")["events"])
            for who in CASES[case]:
                name = "ev-%s-%s" % (prefix, who)
                t.same("how often %s arrived" % name, arrived[name], 1)
    if case == "eagain":
        t.claim_all("respawn-failed")


WITH_LANGFUSE = [interpreter for interpreter in INTERPRETERS if interpreter.version >= (3, 10)]
for case in CASES:
    for interpreter in WITH_LANGFUSE[-1:]:  # bullseye has none
        test("python/langfuse/" + case, case, interpreter, 1, beside="python-langfuse", deadline=120)(hard_case)
    for interpreter in WITH_LANGFUSE:
        test("soak/python/langfuse/%s/%s" % (case, interpreter.label), case, interpreter, 50, soak=True,
             deadline=900)(hard_case)
