"""Policy resume: lost threads go on in the child, at its first use of them, on their own stacks.
"""

from errno import EAGAIN, ENOMEM

from harness import places
from harness.process import Failure, stands_still
from harness.registry import test

from cases.allocators import ALLOCATORS, library
from cases.python import ACTIONS, INTERPRETERS, VERSIONS, WITH_WHEELS, site

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


@test("resume/joined before it began")
def moved(t):
    """A thread of which a profile knows but the name, and that has none yet: a join of it returns, though its handle was
    moved since; so it does without, but for glibc 2.43, where every such join hangs."""
    profile = places.ROOT / "scripts" / "repro_suite" / "victims" / "runtimes" / "thread_pool.toml"
    t.run("resume_pool", "moved", "forks=50", FORKMEND_PROFILES=profile)


def not_made(t, mode, errno, *arguments):
    """No thread may be made, or not all: nothing crashes or hangs, the report says so, and the next enqueue tries again."""
    fails_without(t, mode)
    t.run("resume_pool", mode, *arguments, **POLICY)
    failed = t.claim_all("respawn-failed")
    t.check(len(failed) >= 3, "%d failures reported, at least 3 enqueues failed" % len(failed))
    t.same("the events", {(event["runtime"], event["errno"]) for event in failed}, {("resume_pool", errno)})


test("resume/eagain", "eagain", EAGAIN)(not_made)
test("resume/eagain for one of ten", "partly", EAGAIN, "threads=10", "forks=5")(not_made)
test("resume/enomem", "enomem", ENOMEM)(not_made)


# --- what a revival costs -------------------------------------------------------------------------


@test("resume/cost of 100 threads", soak=True)
def cost(t):
    """Beside creating as many with stacks as large, in the same children."""
    program = t.run("resume_pool", "cost", "threads=100", "forks=100", within=100, **POLICY)
    seen = {step: value for step, (_, value) in program.steps().items()}
    t.note("%d us, created in %d us; median ratio %.2f, with their first step %.2f" % (
        seen["revived"] // 1000, seen["created"] // 1000, seen["revived-to-created"] / 1000,
        seen["back-to-created"] / 1000))
    # 1.06 to 1.12 on a quiet machine, and 1.1 is what it may be there; above 2 something waits for something.
    t.check(seen["revived-to-created"] <= 2000, "a revival costs twice as much")


@test("soak/resume/no leak in 1,000 forks of 100 threads", deadline=900, soak=True)
def leaks(t):
    """Nothing is left behind in the parent, which is at work at each fork, nor in a child by a revival."""
    program = t.run("resume_pool", "leaks", "threads=100", "forks=1000", "load=150", within=800, **POLICY)
    t.note("resident %+d KiB" % program.steps()["resident-kib"][1])


# --- never resumed --------------------------------------------------------------------------------


def refused(t, reason):
    found = t.claim_all("not-resumed")
    t.check(found, "nothing was reported")
    t.same("the reasons", {event["reason"] for event in found}, {reason})


@test("resume/refused/running in malloc")
def running(t):
    """A fork that finds a thread at work, here in libc's malloc and free, does not resume it."""
    t.run("resume_pool", "refused", "load=1", "work_us=1500000", FORKMEND_DRAIN_MS=100, **POLICY)
    t.check(t.claim_all("drain-missed"), "the fork waited for nobody")
    refused(t, "it was running at the fork")


def beside_allocator(t, name):
    t.run("resume_pool", "refused", LD_PRELOAD="%s:%s" % (places.LIBRARY, library(name)), **POLICY)
    refused(t, "this process has a malloc of its own")


for name in ALLOCATORS:
    if library(name) is not None:
        test("resume/refused/" + name, name)(beside_allocator)


def start_python_pool(t, interpreter, thread_is, **options):
    return t.python(interpreter.path, "resume_refused.py", places.PROGRAMS / "libcallback_pool.so", thread_is,
                    FORKMEND_POLICY="libcallback_pool.so:resume", **options)


def python_pool(t, interpreter, thread_is, **options):
    t.same("exit code", start_python_pool(t, interpreter, thread_is, **options).wait(30), 0)


HAS_STATE = "it has a Python thread state, which CPython frees in a child"
REFUSED = {
    "state": HAS_STATE,
    "interpreter": HAS_STATE,
    "coroutine": "it waited on another stack than its own, as coroutines and greenlets do",
}


def never_resumed(t, interpreter):
    """A thread with a Python thread state, inside a Python function, on another stack."""
    for thread_is in REFUSED:
        python_pool(t, interpreter, thread_is, FORKMEND_DRAIN_MS=100)
        if thread_is == "interpreter":
            t.check(t.claim_all("drain-missed"), "the fork waited for nobody")
        found = t.claim_all("not-resumed")
        t.same("the reasons, up to %r" % thread_is, [event["reason"] for event in found],
               [REFUSED[one] for one in list(REFUSED)[:len(found)]])
    t.same("the number of refusals", len(found), len(REFUSED))


def resumed_after_subinterpreter(t, interpreter):
    """A subinterpreter that is gone keeps nobody from being resumed, nor the fork from its safepoint."""
    python_pool(t, interpreter, "resumed")


GREENLETS = "langfuse-gevent-4.12.0"


def greenlets(t, interpreter):
    """A thread that waits in a greenlet has a Python thread state; one that has left them, or a forker in one, is no matter."""
    site = places.SITES / interpreter.tag / GREENLETS
    if not (site / ".installed").exists():
        raise Failure("greenlet is not installed for %s: run scripts/setup test" % interpreter.label)
    python_pool(t, interpreter, "greenlet", site=site)
    refused(t, HAS_STATE)
    for mode in ("left-greenlets", "in-greenlet"):
        program = start_python_pool(t, interpreter, mode, site=site, shim=False)
        pid = int(program.wait_for_line(r"^step submitted \d+ (\d+)$", 10)[1])
        if not stands_still(pid, 1.0):
            raise Failure("not reproduced: without the shim %s goes on" % mode)
        program.kill_child(pid)
        program.wait(10)
        python_pool(t, interpreter, mode, site=site)


@test("resume/waited for an orphan")
def waited_for_orphan(t):
    """A resumed thread was waiting for a lock of another thread's: FORKMEND_ORPHANS=reset opens it for this one as well."""
    python_pool(t, INTERPRETERS[0], "contender", FORKMEND_ORPHANS="reset")
    t.check(t.claim_all("lock-opened"), "no lock was opened")


for interpreter in INTERPRETERS:
    site_of_greenlets = places.SITES / interpreter.tag / GREENLETS
    if site_of_greenlets.exists() and not (site_of_greenlets / ".missing").exists():
        test("resume/greenlets/" + interpreter.label, interpreter)(greenlets)
    test("resume/refused/in Python/" + interpreter.label, interpreter)(never_resumed)
    test("resume/after a subinterpreter/" + interpreter.label, interpreter)(resumed_after_subinterpreter)


# --- Statsig, with nothing set --------------------------------------------------------------------


def live_statsig(t, interpreter):
    """An instance that is alive across the fork: the child flushes, shuts down, makes a new one (without: test statsig/likely)."""
    programs = [(version, action, t.python(interpreter.path, "statsig_child.py", action,
                                           site=site(interpreter, version)))
                for version in VERSIONS for action in ACTIONS]
    for version, action, program in programs:
        t.same("%s of %s" % (action, version), program.wait(60), 0)


for interpreter in WITH_WHEELS:
    test("resume/statsig/" + interpreter.label, interpreter, deadline=90)(live_statsig)


def not_resumed(t, policy, **settings):
    """What was promised before it was resumed holds where it cannot be, or must not: the lockup is reported."""
    program = t.python(WITH_WHEELS[-1].path, "statsig_child.py", "flush", site=site(WITH_WHEELS[-1], VERSIONS[0]),
                       FORKMEND_THRESHOLD_MS=2000, **settings)
    event = t.lockup(program, "uses", "likely", 3)
    runtime = event["runtime"]
    t.same("the runtime", (runtime["name"], runtime["policy"]), ("statsig", policy))
    return event


@test("resume/statsig/opted out")
def opted_out(t):
    for policy in ("drain", "report"):
        event = not_resumed(t, policy, FORKMEND_POLICY="statsig:" + policy)
        t.check(any(fix["setting"] == "FORKMEND_POLICY" for fix in event["fixes"]), "the cure is not offered")


@test("resume/statsig/beside jemalloc")
def statsig_beside_allocator(t):
    event = not_resumed(t, "resume", LD_PRELOAD="%s:%s" % (places.LIBRARY, places.JEMALLOC))
    refused(t, "this process has a malloc of its own")
    t.check(not any(fix["setting"] == "FORKMEND_POLICY" for fix in event["fixes"]), "a cure is offered that is in force")


@test("resume/nothing is kept for others")
def nothing_kept(t):
    """Who made a descriptor is noted for libraries that are resumed, or everybody where somebody asked."""
    steps = t.run("descriptors").steps()
    t.same("mappings gained", (steps["gained"][1], steps["gained-later"][1]), (0, 0))
    asked = t.run("descriptors", FORKMEND_POLICY="somebody:resume").steps()
    t.check(asked["gained"][1] > 0, "the victim sees no table where there is one")


def callers_profile(t, callers):
    path = t.directory / "callback-pool.toml"
    path.write_text('name = "callback-pool"\npolicy = "resume"\n%s[match]\ndso = ["libcallback_pool.so"]\n' %
                    ("callers = true\n" if callers else ""))
    return {"FORKMEND_PROFILES": path}


def python_callers(t, interpreter):
    """A Python thread computes in the library at the fork: it is waited for, where the profile says so, before it is lost."""
    arguments = ("resume_callers.py", places.PROGRAMS / "libcallback_pool.so")
    lost = t.python(interpreter.path, *arguments, "20", **callers_profile(t, False))
    # Not every fork, but soon one, finds the thread with the lock.
    lost.kill_child(int(lost.wait_for_line(r"^forkmend\[(\d+)\]: lockup \w+ certain", 20)[1]))
    lost.wait(10)
    t.same("the causes", {event["cause"] for event in t.claim_all("lockup")}, {"orphaned-lock"})
    program = t.python(interpreter.path, *arguments, "100", **callers_profile(t, True))
    t.same("exit code", program.wait(60), 0)


for interpreter in INTERPRETERS:
    test("resume/callers/" + interpreter.label, interpreter, beside="resume callers")(python_callers)
