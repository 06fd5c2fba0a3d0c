"""A program of our own whose pool is registered through the header: works wherever it is forked to."""

from harness.process import Failure
from harness.registry import test

# What a child of a broken pool ends with: its work is not done (13), its lock is an orphan (99).
BROKEN = (13, 99)


def broken_without(t, *arguments):
    program = t.start("pool_forks", *arguments, "forks=5", "child_ms=300", shim=False, VICTIM_MS=1500)
    code = program.wait(20)
    if code not in BROKEN:
        raise Failure("not reproduced: without the shim the program ended with %d" % code)


def forks(t, *arguments):
    broken_without(t, *arguments)
    program = t.run("pool_forks", *arguments, within=100)
    t.note("%d us a fork and child" % program.steps()["forked"][1])


test("pool/1,000 forks", "forks=1000", deadline=120)(forks)
test("pool/from 4 threads at once", "forks=400", "forkers=4", "load=2", deadline=120)(forks)
test("pool/grandchildren", "forks=100", "depth=3", deadline=120)(forks)
test("pool/idle", "forks=200", "load=0")(forks)


@test("pool/1,000 threads", deadline=120)
def thousand_threads(t):
    program = t.run("pool_forks", "threads=1000", "forks=30", within=110)
    t.note("%d us a fork and child" % program.steps()["forked"][1])


@test("pool/jobs of 1 ms")
def long_jobs(t):
    """Fork waits until the job that holds the lock is done; none misses the deadline."""
    t.run("pool_forks", "forks=50", "work_us=1000", "load=4")


@test("respawn/once")
def respawn_once(t):
    t.run("pool_respawn", "once")


@test("respawn/eagain")
def respawn_eagain(t):
    """A real EAGAIN, twice; the third enqueue brings the threads back."""
    t.run("pool_respawn", "eagain")
    failed = t.claim_all("respawn-failed")
    t.same("the events", [(event["runtime"], event["errno"]) for event in failed], [("pool", 11)] * 2)


@test("respawn/never")
def respawn_never(t):
    t.run("pool_respawn", "never")


@test("respawn/order")
def callbacks_in_order(t):
    t.run("pool_respawn", "order")


@test("hpp")
def wrapper(t):
    t.run("pool_hpp", "300", shim=False, expect=5)
    t.run("pool_hpp")
    t.same("failed respawns", [event["errno"] for event in t.claim_all("respawn-failed")], [11])
