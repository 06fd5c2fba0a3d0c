"""Policy rerun: lost threads begin again in the child, at its first use of them; refused where that would be a use after free.
"""

from harness.registry import test

POLICY = {"FORKMEND_POLICY": "rerun_pool:rerun"}


@test("rerun/submit")
def submit(t):
    """The jobs are done by threads that began again, and the handles from before the fork are theirs."""
    t.hangs_without("rerun_pool", "submit", step="waits")
    t.run("rerun_pool", "submit", "forks=200", within=60, **POLICY)


@test("rerun/refused, the argument is freed", "frees", "no longer what it was")
@test("rerun/refused, the argument is moved from", "moves", "no longer what it was")
def refused(t, mode, reason):
    event = t.lockup(t.start("rerun_pool", mode, **POLICY), "waits", "certain", 3.0)
    t.same("the runtime", event["runtime"]["name"], "rerun_pool")
    told = t.claim_all("not-resumed")
    t.same("events", len(told), 1)
    t.check(reason in told[0]["reason"], "the reason is %r" % told[0]["reason"])
