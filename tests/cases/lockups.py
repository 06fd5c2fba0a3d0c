"""Children that lock up: reproduced without the shim, reported with it, and what the settings make of it.

"Certain" has to come within 2 s: the grace is 1 s.
"""

from harness import places
from harness.process import Failure
from harness.registry import test

CERTAIN_S = 2.0
SIGABRT = 128 + 6


def lost_named(t, event, name, at_fork):
    """The lost thread as the report must show it: by name, with its object and what it was doing."""
    for lost in event["lost"]:
        if lost["name"] == name:
            t.same("what %s did at the fork" % name, lost["at_fork"]["wait"], at_fork)
            t.check(lost["tid_in_parent"] > 0 and lost["generation"] == 0, "%s has no tid or a wrong generation" % name)
            t.check(lost["dso"].startswith(str(places.PROGRAMS)), "the DSO of %s is %r" % (name, lost["dso"]))
            t.check(lost["at_fork"]["stack"]["bytes"], "%s has no stack" % name)
            return lost
    raise Failure("no lost thread %r: %r" % (name, [lost["name"] for lost in event["lost"]]))


def waits_as(t, event, call, kind):
    wait = event["wait"]
    t.same("the wait", (wait["call"], wait["object"]["kind"], wait["timeout_ns"]), (call, kind, None))
    t.same("the waiting thread", (wait["tid"], wait["thread"]), (event["process"]["pid"], "main thread"))
    t.check(wait["stack"]["registers"]["ip"] and wait["stack"]["bytes"], "the wait has no stack")
    t.same("the generation", event["process"]["generation"], 1)
    t.check(event["fork"]["parent_pid"] == event["process"]["ppid"], "forked from %r" % event["fork"]["parent_pid"])
    t.check(event["fork"]["caller"], "who called fork is not said")


def fix_settings(event):
    return {fix["setting"] for fix in event["fixes"]}


MUTEXES = ("normal", "recursive", "errorcheck", "adaptive", "robust", "c11")
RWLOCKS = {"rwlock-write": "pthread_rwlock_wrlock", "rwlock-read": "pthread_rwlock_rdlock"}


def orphaned(t, kind):
    t.hangs_without("orphan_lock", kind, step="locks")
    program = t.start("orphan_lock", kind)
    event = t.lockup(program, "locks", "certain", CERTAIN_S)
    t.same("the cause", event["cause"], "orphaned-lock")
    waits_as(t, event, RWLOCKS.get(kind, "pthread_mutex_lock"), "rwlock" if kind in RWLOCKS else "mutex")
    holder = lost_named(t, event, "holder", "sleep")
    if kind not in RWLOCKS:
        t.same("the owner", event["wait"]["object"]["owner_tid"], holder["tid_in_parent"])
    t.check("FORKMEND_ORPHANS=reset" in fix_settings(event), "the fix is not offered: %r" % fix_settings(event))


for mutex in MUTEXES:
    test("orphan/" + mutex, mutex, beside="orphan")(orphaned)
for rwlock in RWLOCKS:
    test("orphan/" + rwlock, rwlock, beside="orphan")(orphaned)


def opened(t, kind):
    t.hangs_without("orphan_lock", kind, step="locks")
    t.run("orphan_lock", kind, FORKMEND_ORPHANS="reset")
    t.same("locks that were opened", len(t.claim_all("lock-opened")), 1)


for mutex in MUTEXES:
    test("orphan/reset/" + mutex, mutex, beside="reset")(opened)
for rwlock in RWLOCKS:
    test("orphan/reset/" + rwlock, rwlock, beside="reset")(opened)


@test("on-lockup/abort", beside="reset")
def on_lockup_abort(t):
    t.run("orphan_lock", "normal", expect=SIGABRT, FORKMEND_ON_LOCKUP="abort")
    t.same("the action", [event["action"] for event in t.claim_all("lockup")], ["abort"])


@test("on-lockup/exit", beside="reset")
def on_lockup_exit(t):
    t.run("orphan_lock", "normal", expect=7, FORKMEND_ON_LOCKUP="exit:7")
    t.same("the action", [event["action"] for event in t.claim_all("lockup")], ["exit"])


@test("orphan/abort", beside="reset")
def orphans_abort(t):
    t.run("orphan_lock", "normal", expect=SIGABRT, FORKMEND_ORPHANS="abort")
    t.claim_all("lockup")


@test("on-lockup/report goes on waiting", beside="reset")
def on_lockup_report(t):
    """The report is all that happens: the child is still in its wait when its deadline comes."""
    t.run("orphan_lock", "normal", expect=99, VICTIM_MS=2500)
    t.same("events", len(t.claim_all("lockup")), 1)


@test("grace", beside="reset")
def grace(t):
    """FORKMEND_GRACE_MS is when a certain lockup is said, not sooner and not much later."""
    program = t.start("orphan_lock", "normal", FORKMEND_GRACE_MS=300)
    event = t.lockup(program, "locks", "certain", 1.3)
    waited = event["mono_ns"] - program.steps()["locks"][0]
    t.check(waited >= 300e6, "reported after %d ms, before the grace of 300 ms" % (waited // 10**6))


def unsignalled(t, mode):
    t.hangs_without("lost_signaller", mode, step="waits")
    program = t.start("lost_signaller", mode)
    event = t.lockup(program, "waits", "certain", CERTAIN_S)
    t.same("the cause", event["cause"], "lost-signaller")
    waits_as(t, event, "pthread_cond_wait", "condition")
    names = [lost["name"] for lost in event["lost"]]
    t.same("the lost threads", names, ["ticker"])


for mode in ("posix", "c11", "std"):
    test("lost-signaller/" + mode, mode, beside="lost")(unsignalled)


@test("handed-over", beside="lost")
def handed_over(t):
    t.hangs_without("handed_over", "cond", step="waits")
    program = t.start("handed_over", "cond", FORKMEND_THRESHOLD_MS=1500)
    event = t.lockup(program, "waits", "likely", 2.5)
    t.same("the cause", event["cause"], "handed-over")
    t.same("lost threads", event["lost_total"], 3)
    lost_named(t, event, "pool", "pthread_cond_wait")
    waited = event["mono_ns"] - program.steps()["waits"][0]
    t.check(waited >= 1.5e9, "a likely lockup was reported before the threshold")


def waits_as_libstdcxx_does(t, mode):
    """Its futexes are not said to be private: the mapping tells that they are."""
    t.hangs_without("lost_future", mode, step="waits")
    event = t.lockup(t.start("lost_future", mode, FORKMEND_THRESHOLD_MS=1500), "waits", "likely", 2.5)
    t.same("the cause", event["cause"], "handed-over")
    t.same("the wait", event["wait"]["call"], "futex")
    lost_named(t, event, "pool", "pthread_cond_wait")


for mode in ("future", "promise", "atomic", "latch"):
    test("handed-over/" + mode, mode, beside="lost")(waits_as_libstdcxx_does)


@test("handed-over/shared memory", beside="lost")
def shared_futex(t):
    """The same call on a word that another process changes."""
    t.run("lost_future", "shared", FORKMEND_THRESHOLD_MS=1000, FORKMEND_GRACE_MS=200)


@test("handed-over/nothing was", beside="lost")
def nothing_handed_over(t):
    t.run("handed_over", "idle", expect=99, VICTIM_MS=3000, FORKMEND_THRESHOLD_MS=1000, FORKMEND_GRACE_MS=200)


@test("storm")
def storm(t):
    """Twelve children lock up in the same place: three lines and the tenth, not twelve."""
    program = t.start("storm", "12", FORKMEND_GRACE_MS=200)
    t.same("exit code", program.wait(20), 0)
    said = [line for line in program.stderr_lines if ": lockup " in line]
    t.same("lines on stderr", len(said), 4)
    t.same("seen", sorted(event["seen"] for event in t.claim_all("lockup")), [1, 2, 3, 10])
    t.same("fingerprints", len({event["fingerprint"] for event in t.events("lockup")}), 1)
    t.check("(seen 10 times)" in said[-1], "the last line does not say how many: %r" % said[-1])


@test("report/symbols")
def report_symbols(t):
    """`forkmend report` names the frames of both stacks, down to the user's own."""
    program = t.start("orphan_lock", "normal", FORKMEND_ON_LOCKUP="exit:7")
    t.same("exit code", program.wait(20), 7)
    event = t.claim_all("lockup")[0]
    text = "\n".join(t.run(places.COMMAND, "report", t.reports, shim=False).output)
    for wanted in ("pthread_mutex_lock", "handle_request", "orphan_lock.cc", "holder", "main", event["id"],
                   "FORKMEND_ORPHANS=reset", str(event["process"]["pid"])):
        t.check(wanted in text, "the report does not say %r:\n%s" % (wanted, text))
    t.run(places.COMMAND, "report", "--exit-code", t.reports, shim=False, expect=1)
