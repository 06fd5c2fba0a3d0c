"""Children that wait long and are well: no report, and each wait ends as it does without the shim.

What they wait for comes after twice the threshold, which is lowered for the quick run; the soak has the 30 s and the
settings that users have.
"""

from harness.registry import test

MODES = ("sem-handler", "sem-alarm", "sigwait", "sigsuspend", "pipe", "accept", "epoll", "poll", "select", "shared-sem",
         "shared-cond", "shared-robust", "wait-child", "cond", "mutex", "rwlock", "join", "futex", "barrier", "sem")
INTERRUPTED = {"sem-restart": 30, "sem-eintr": 31, "futex-restart": 30, "futex-eintr": 31}
# Looks are at 0.2, 1, 1.5 and 2.25 s (1, 10, 15 and 22.5 s by default). A signal that comes in the microseconds in which a
# slice ends does not interrupt a wait of C++ (watch.h): the one at half of the time is not aimed there.
QUICK = {"LATE_MS": 2600, "FORKMEND_THRESHOLD_MS": 1000, "FORKMEND_GRACE_MS": 200}
SOAK = {"LATE_MS": 36_000}


def waits_well(t, mode, settings, *more, ends=INTERRUPTED):
    expected = ends.get(mode, 0)
    programs = [t.start("healthy_waits", mode, *more, shim=shim, **settings) for shim in (False, True)]
    without, with_shim = (program.wait(90) for program in programs)
    t.same("the end without the shim", without, expected)
    t.same("the end with it", with_shim, expected)
    t.check(not programs[1].stderr_lines, "on stderr: %r" % programs[1].stderr_lines[:3])


for mode in (*MODES, *INTERRUPTED):
    test("healthy/" + mode, mode, QUICK, beside="healthy")(waits_well)
for mode in ("sem-handler", "sigwait", "pipe", "cond", "epoll", "sem-restart"):
    test("healthy/pool/" + mode, mode, QUICK, "pool", beside="healthy")(waits_well)
for mode in (*MODES, *INTERRUPTED):
    test("soak/healthy 30 s/" + mode, mode, SOAK, "pool", soak=True, beside="healthy-soak", deadline=100)(waits_well)


# A look at each wait after a millisecond, and then ever again.
LOOKS = {"FORKMEND_GRACE_MS": 1, "FORKMEND_THRESHOLD_MS": 1}


def waits_bare(t, mode, *more):
    """No wait ends for a look, and none misses its signal for one."""
    t.run("cond_bare", mode, *more, shim=False, within=150)
    t.run("cond_bare", mode, *more, within=150, **LOOKS)


for mode in ("idle", "signals", "broadcast", "cancel", "timed"):
    test("healthy/bare/" + mode, mode, beside="bare", deadline=300)(waits_bare)
for mode in ("idle", "signals"):
    test("healthy/bare/c11/" + mode, mode, "c11", beside="bare", deadline=300)(waits_bare)


def handler_ends_wait(t, *mode):
    """Work was handed to a lost thread, but what the child waits for a handler will give."""
    t.run("handler_ends_wait", *mode, shim=False)
    t.run("handler_ends_wait", *mode, FORKMEND_THRESHOLD_MS=1000, FORKMEND_GRACE_MS=200, FORKMEND_ON_LOCKUP="abort")


for object in ("sem", "cond"):
    for end in ("alarm", "term", "leave"):
        test("healthy/handler/%s/%s" % (object, end), object, end, beside="handler")(handler_ends_wait)


def bad_pointers(t, mode):
    """A bad pointer gives what it gives without the shim: an error, or death by the same signal."""
    programs = [t.start("bad_pointers", mode, shim=shim) for shim in (False, True)]
    for program in programs:
        t.same("exit code", program.wait(60), 0)
    without, with_shim = (program.output for program in programs)
    t.check(len(without) > 60, "only %d calls" % len(without))
    t.same("what differs", [pair for pair in zip(without, with_shim) if pair[0] != pair[1]], [])
    t.same("lines", len(with_shim), len(without))


for mode in ("alone", "lost", "registered"):
    test("healthy/bad pointers/" + mode, mode)(bad_pointers)
