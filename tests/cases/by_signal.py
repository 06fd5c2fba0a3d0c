"""Resume by signal: a runtime that waits in system calls of its own goes on in the child all the same."""

from harness import places
from harness.registry import test

SIGNAL = 60
HELD_UP_MS = 1500


def profile(t, policy="eager", signal=SIGNAL, enqueue=()):
    lines = ['name = "inline"', 'policy = "%s"' % policy]
    if signal:
        lines += ["signal = %d" % signal]
    lines += ["[match]", 'dso = ["libinline_pool.so"]']
    if enqueue:
        lines += ["[enqueue]", "symbol = [%s]" % ", ".join('"%s"' % function for function in enqueue)]
    path = t.directory / "inline.toml"
    path.write_text("\n".join(lines) + "\n")
    t.run(places.COMMAND, "profiles", "check", path, shim=False)
    return {"FORKMEND_PROFILES": path}


def resumed(t, mode, *arguments):
    t.hangs_without("by_signal", mode, step="submits")
    t.run("by_signal", mode, *arguments, within=60, **profile(t))


test("by signal/submit", "submit", "forks=30", beside="by signal")(resumed)
test("by signal/at work", "submit", "forks=60", "load=6", deadline=90)(resumed)
test("by signal/30 threads", "submit", "forks=20", "threads=30", "load=8", deadline=90)(resumed)
test("by signal/grandchild", "grandchild", "forks=10", beside="by signal")(resumed)
test("by signal/forking thread blocks all signals", "masked", "forks=10", beside="by signal")(resumed)
test("soak/by signal, 5,000 forks", "submit", "forks=5000", "load=6", deadline=900, soak=True)(resumed)


@test("by signal/the library forks", beside="by signal")
def library_forks(t):
    """It goes on behind its own call, and hands nothing to anybody: its threads come back within the fork."""
    t.hangs_without("by_signal", "inside", step="submits")
    t.run("by_signal", "inside", "forks=10", **profile(t, "resume"))


@test("by signal/at the first enqueue", beside="by signal")
def at_first_enqueue(t):
    """With declared functions: a child that does not call one has one thread."""
    settings = profile(t, "resume", enqueue=("inline_submit", "inline_poke"))
    t.run("by_signal", "submit", "forks=30", **settings)
    t.run("by_signal", "never", "forks=30", **settings)
    # Blocking the reserved signal does not look like being in its handler, where nobody is brought back.
    t.run("by_signal", "masked", "forks=30", **settings)


@test("by signal/not without", beside="by signal")
def not_without(t):
    """It is the signal that does it: without, no thread is parked, and the report says that none was resumed."""
    program = t.start("by_signal", "submit", FORKMEND_DRAIN_MS=50, VICTIM_MS=HELD_UP_MS, **profile(t, signal=0))
    t.same("exit code", program.wait(20), 99)
    t.check(t.claim_all("drain-missed"), "the fork waited for nobody")
    refused(t)


def refused(t):
    t.same("the reasons", {event["reason"] for event in t.claim_all("not-resumed")}, {"it was running at the fork"})


@test("by signal/in another library's code", deadline=60)
def elsewhere(t):
    """A thread in libc's memset, which no signal may stop, at the fork: nobody is resumed, and that is said."""
    program = t.start("by_signal", "runs", "forks=1", FORKMEND_DRAIN_MS=50, VICTIM_MS=HELD_UP_MS, **profile(t))
    t.same("exit code", program.wait(40), 99)
    t.check(t.claim_all("drain-missed"), "the fork waited for nobody")
    refused(t)


def own_signal(t, mode, reason):
    """The program handles the signal itself: it is left alone."""
    program = t.start("by_signal", mode, "forks=2", FORKMEND_DRAIN_MS=50, VICTIM_MS=HELD_UP_MS, **profile(t))
    t.same("exit code", program.wait(20), 99)
    t.same("the events", [(event["feature"], event["reason"]) for event in t.claim_all("off")],
           [("resume by signal", "signal 60, which the profile of inline names, %s; name another" % reason)])


test("by signal/signal in use", "taken", "is handled or ignored by the program", beside="by signal")(own_signal)
test("by signal/signal taken later", "takes", "was taken by the program after the library was loaded",
     beside="by signal")(own_signal)
