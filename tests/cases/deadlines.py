"""fork is never held longer than FORKMEND_DRAIN_MS, whatever the registered threads do.

These are bounds of the contract. What is added to the deadline is what a loaded machine may take to run a thread that
is due: the kernel's own fork of these programs takes less than a millisecond.
"""

from harness import places
from harness.registry import test

DRAIN_MS = 200
SLACK_MS = 300


def durations(program):
    """Milliseconds of each fork, in order."""
    steps = program.steps()
    return [steps["fork-%d" % i][1] / 1e6 for i in range(len(steps))]


def bounded(t, program, deadline_ms=DRAIN_MS):
    took = durations(program)
    t.check(max(took) <= deadline_ms + SLACK_MS, "a fork took %.0f ms, the deadline is %d" % (max(took), deadline_ms))
    return took


@test("deadline/spinning thread")
def spinning(t):
    """It is waited for in full once, then for half as long each time, and named with what it was doing."""
    program = t.run("deadline", "spin", "6", FORKMEND_DRAIN_MS=DRAIN_MS)
    took = bounded(t, program)
    t.check(took[0] >= DRAIN_MS * 0.9, "the first fork waited %.0f ms only" % took[0])
    events = t.claim_all("drain-missed")
    allowed = [event["allowed_ns"] / 1e6 for event in events]
    t.same("what it was given", allowed, [200, 100, 50, 25, 12.5, 6.25])
    t.same("misses", [event["misses"] for event in events], [1, 2, 3, 4, 5, 6])
    for event in events:
        t.same("the runtime", event["runtime"], "spinner")
        t.same("the threads", [(thread["name"], thread["state"]) for thread in event["threads"]], [("spins", "R")])
        t.check("running" in event["threads"][0]["doing"], "doing %r" % event["threads"][0]["doing"])
    t.note("forks took " + " ".join("%.0f" % ms for ms in took) + " ms")


@test("deadline/default is 1 s")
def default_deadline(t):
    took = bounded(t, t.run("deadline", "spin", "1"), 1000)
    t.check(took[0] >= 900, "the fork waited %.0f ms only" % took[0])
    t.claim_all("drain-missed")


@test("deadline/longer for who computes")
def longer(t):
    """A profile that gives its runtime more time gives it to compute in, not to sleep where nobody sees for what."""
    profile = t.directory / "deadline.toml"
    profile.write_text('name = "deadline"\npolicy = "resume"\ndrain_ms = 2000\n[match]\ndso = ["deadline"]\n')
    for mode, least, most in (("computes", 1900, 2000), ("asleep", 900, 1000)):
        took = bounded(t, t.run("deadline", mode, "1", FORKMEND_PROFILES=profile), most)
        t.check(took[0] >= least, "the fork waited %.0f ms only for a thread that is %s" % (took[0], mode))
        t.same("who missed it", [event["runtime"] for event in t.claim_all("drain-missed")][-1:], ["deadline"])


@test("deadline/0 waits for nobody")
def no_drain(t):
    took = bounded(t, t.run("deadline", "spin", "5", FORKMEND_DRAIN_MS=0), 0)
    t.note("at most %.1f ms" % max(took))


@test("deadline/thread that holds a lock")
def holding(t):
    """It sleeps, but what it holds would be an orphan in the child: it counts as not parked, and is named."""
    bounded(t, t.run("deadline", "holds", "1", FORKMEND_DRAIN_MS=DRAIN_MS))
    event = t.claim_all("drain-missed")[0]
    t.same("the thread", event["threads"][0]["name"], "holds")
    t.check("sleep" in event["threads"][0]["doing"] and "holding 1 lock" in event["threads"][0]["doing"],
            "doing %r" % event["threads"][0]["doing"])


for mode in ("prepare-lock", "prepare-worker"):
    @test("deadline/" + mode, mode)
    def prepare_handler(t, mode):
        """A gated thread waits with the fork's deadline as its own time-out: the handler gets what it waits for."""
        t.run("deadline", mode, "5", shim=False)
        took = bounded(t, t.run("deadline", mode, "5", FORKMEND_DRAIN_MS=DRAIN_MS))
        t.claim_all("drain-missed")
        t.note("forks took " + " ".join("%.0f" % ms for ms in took) + " ms")


@test("deadline/prepare-stream")
def prepare_prints(t):
    """A thread that holds a stream (flockfile) is not stopped: the handler that prints waits for nobody."""
    took = durations(t.run("deadline", "prepare-stream", "30", FORKMEND_DRAIN_MS=1000))
    t.check(max(took) < 500, "a fork took %.0f ms: its prepare handler waited for a thread at the gate" % max(took))
    t.note("at most %.0f ms" % max(took))


for order in ("jemalloc first", "forkmend first"):
    @test("deadline/%s, malloc-heavy, 200 forks" % order, order, deadline=120)
    def with_jemalloc(t, order):
        libraries = [places.JEMALLOC, str(places.LIBRARY)]
        if order == "forkmend first":
            libraries.reverse()
        program = t.run("deadline", "busy", "200", within=110, FORKMEND_DRAIN_MS=DRAIN_MS,
                        LD_PRELOAD=":".join(libraries))
        took = bounded(t, program)
        t.claim_all("drain-missed")
        # What a thread that missed the deadline held and jemalloc's own prepare handler does not take.
        opened = t.claim_all("lock-opened")
        t.note("median %.1f, at most %.0f ms, %d locks opened" % (sorted(took)[100], max(took), len(opened)))


@test("deadline/malloc-heavy, 100 forks")
def with_libc_malloc(t):
    took = bounded(t, t.run("deadline", "busy", "100", FORKMEND_DRAIN_MS=DRAIN_MS))
    t.claim_all("drain-missed")
    t.note("median %.1f, at most %.0f ms" % (sorted(took)[50], max(took)))


@test("deadline/all parked")
def parked(t):
    """Nobody has to be waited for, so nobody is: 1 % of the deadline is a hundred times what it takes."""
    took = sorted(durations(t.run("deadline", "parked", "200")))
    t.check(took[100] <= 10, "a fork took %.1f ms though all threads are parked" % took[100])
    t.note("median %.2f ms" % took[100])
