"""Declared enqueue symbols: a runtime whose queue wakes nobody comes back when a function is called that its profile names."""

from harness import places
from harness.process import Failure
from harness.registry import test

FUNCTIONS = ("spin_submit", "spin_submit_many", "spin_submit_wide", "spin_touch")
HELD_UP_MS = 1500


def profile(t, name, policy, functions=FUNCTIONS, match=True):
    lines = ['name = "%s"' % name, 'policy = "%s"' % policy]
    if match:
        lines += ["[match]", 'dso = ["libspin_queue.so"]']
    if functions:
        lines += ["[enqueue]", "symbol = [%s]" % ", ".join('"%s"' % function for function in functions),
                  'dso = ["libspin_queue.so"]']
    path = t.directory / (name + ".toml")
    path.write_text("\n".join(lines) + "\n")
    t.run(places.COMMAND, "profiles", "check", path, shim=False)
    return {"FORKMEND_PROFILES": path}


def declared(t, mode, program="declared", forks=20):
    t.hangs_without(program, mode, step="submits")
    t.run(program, mode, "forks=%d" % forks, within=60, **profile(t, "spin", "resume"))


for mode in ("submit", "pointer", "table", "many", "threads", "handler", "vfork", "grandchild", "nested", "connection"):
    test("declared/" + mode, mode, beside="declared")(declared)
test("declared/bound at the first call", "submit", "declared-lazy", beside="declared")(declared)
test("soak/declared, 2,000 forks", "threads", "declared-lazy", 2000, deadline=600, soak=True)(declared)


@test("declared/not declared", beside="declared")
def not_declared(t):
    """It is the declaration that does it: with the policy alone the child hangs."""
    program = t.start("declared", "submit", VICTIM_MS=HELD_UP_MS, **profile(t, "spin", "resume", functions=()))
    if program.wait(20) != 99:
        raise Failure("not reproduced: the child goes on without a declaration")


@test("declared/never", beside="declared")
def never(t):
    """A child that does not call one has one thread."""
    t.run("declared", "never", "forks=50", **profile(t, "spin", "resume"))


@test("declared/eagain", beside="declared")
def eagain(t):
    t.hangs_without("declared", "eagain", step="submits")
    t.run("declared", "eagain", **profile(t, "spin", "resume"))
    t.same("the events", [(event["runtime"], event["errno"]) for event in t.claim_all("respawn-failed")], [("spin", 11)])


def registered(t, mode):
    """A runtime that registered: its own callback is called, which calls such functions itself."""
    t.hangs_without("declared", mode, step="submits")
    t.run("declared", mode, "forks=20", **profile(t, "spin-api", "callback", match=False))


test("declared/respawn", "respawn", beside="declared")(registered)
test("declared/wide", "wide", beside="declared")(registered)


@test("declared/no such function")
def no_such_function(t):
    """Said once, and nothing else."""
    t.run("declared", "never", "forks=3", **profile(t, "spin", "resume", functions=("spin_sumbit",)))
    reasons = [event["reason"] for event in t.claim_all("off")]
    t.same("events", len(reasons), 1)
    t.check("libspin_queue.so exports no function spin_sumbit" in reasons[0], reasons[0])


@test("poll through _FORTIFY_SOURCE")
def fortified_poll(t):
    """Its thread is at rest at the fork: not waited for in vain (that is an event), and resumed."""
    program = places.PROGRAMS / "fortified_poll"
    t.check(b"__poll_chk" in program.read_bytes(), "the compiler did not make it __poll_chk")
    t.hangs_without("fortified_poll", step="asks")
    t.run("fortified_poll", FORKMEND_POLICY="fortified_poll:resume")
    t.run("fortified_poll", "overflow", expect=128 + 6, shim=False)
    t.run("fortified_poll", "overflow", expect=128 + 6)
