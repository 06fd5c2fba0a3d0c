"""Children made behind libc's back: raw clone() and _Fork()."""

from harness.registry import test


def noticed(t, how):
    t.hangs_without("raw_fork", how, "orphan", step="locks")
    program = t.start("raw_fork", how, "orphan")
    event = t.lockup(program, "locks", "certain", 2.0)
    t.same("the cause", event["cause"], "orphaned-lock")
    t.same("the generation", event["process"]["generation"], 1)
    t.same("the owner", event["lost"][0]["name"], "holder")


def works(t, how):
    t.run("raw_fork", how, "works", shim=False)
    t.run("raw_fork", how, "works")


for how in ("clone", "bare"):
    test("raw/%s/orphan" % how, how, beside="raw")(noticed)
    test("raw/%s/works" % how, how, beside="raw")(works)
