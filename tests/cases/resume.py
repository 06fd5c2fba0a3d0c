"""Policy resume: lost threads go on in the child, at its first use of them, on their own stacks.
"""

from harness.process import Failure
from harness.registry import test

from cases.python import ACTIONS, VERSIONS, WITH_WHEELS, site

POLICY = {"FORKMEND_POLICY": "resume_pool:resume"}
EAGER = {"FORKMEND_POLICY": "resume_pool:eager"}
HELD_UP_MS = 1500


def fails_without(t, *arguments):
    """Without the shim the child hangs, or what it got from the pool is wrong."""
    program = t.start("resume_pool", *arguments, shim=False, VICTIM_MS=HELD_UP_MS)
    if program.wait(20) == 0:
        raise Failure("not reproduced: without the shim %s works" % " ".join(arguments))


def resumed(t, mode, *arguments, **settings):
    fails_without(t, mode)
    program = t.run("resume_pool", mode, *arguments, within=100, **(settings or POLICY))
    t.note("%d us a fork and child" % program.steps()["forked"][1])


test("resume/submit", "submit", "forks=30", deadline=120)(resumed)
test("resume/submit, busy", "submit", "forks=100", "load=40", deadline=120)(resumed)
test("resume/jobs of 1 ms", "submit", "forks=50", "load=8", "work_us=1000", deadline=120)(resumed)
test("resume/100 threads", "submit", "forks=20", "threads=100", deadline=120, soak=True)(resumed)
test("resume/destroy", "destroy", "forks=30", deadline=120)(resumed)
test("resume/detached", "detach", "forks=30")(resumed)
test("resume/setuid", "setuid", "forks=5")(resumed)
test("resume/grandchild", "grandchild", "forks=20", soak=True)(resumed)
test("resume/pthread_exit", "exits", "forks=20")(resumed)
test("resume/throw", "throws", "forks=20")(resumed)
test("resume/cancel", "cancels", "forks=20")(resumed)


@test("resume/eager")
def eager(t):
    resumed(t, "submit", "forks=20", **EAGER)


@test("resume/never")
def never(t):
    """A child that does not touch the pool has one thread."""
    t.run("resume_pool", "never", "forks=100", "load=10", **POLICY)


@test("resume/eagain")
def eagain(t):
    """No thread may be made: nothing crashes or hangs, the report says so, and the next enqueue tries again."""
    fails_without(t, "eagain")
    t.run("resume_pool", "eagain", **POLICY)
    failed = t.claim_all("respawn-failed")
    t.check(len(failed) >= 3, "%d failures reported, at least 3 enqueues failed" % len(failed))
    t.same("the events", {(event["runtime"], event["errno"]) for event in failed}, {("resume_pool", 11)})


def live_statsig(t, interpreter):
    """An instance that is alive across the fork: the child flushes, shuts down, makes a new one (without: test statsig/likely)."""
    programs = [(version, action, t.python(interpreter.path, "statsig_child.py", action,
                                           site=site(interpreter, version), FORKMEND_POLICY="statsig:resume"))
                for version in VERSIONS for action in ACTIONS]
    for version, action, program in programs:
        t.same("%s of %s" % (action, version), program.wait(60), 0)


for interpreter in WITH_WHEELS:
    test("resume/statsig/" + interpreter.label, interpreter, deadline=90)(live_statsig)
