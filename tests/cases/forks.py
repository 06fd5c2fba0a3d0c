"""Forks in every place and in every number: nothing crashes, hangs or leaks."""

import platform
import sys

from harness import places
from harness.context import HUNG
from harness.registry import test

LIBC = tuple(int(part) for part in platform.libc_ver()[1].split("."))


def as_without(t, *arguments, **options):
    """The program ends well without the shim, and with it."""
    t.run(*arguments, shim=False, **options)
    t.run(*arguments, **options)


for mode in ("locks", "bare"):
    test("fork/in a signal handler/" + mode, mode)(lambda t, mode: as_without(t, "fork_in_handler", mode, "400"))


@test("fork/in a signal handler/create")
def in_handler_create(t):
    """A child that comes back into libc's own pthread_join, of a thread that is lost: since 2.43 that never returns.

    No interposer stands between: what libc hangs in without the shim it may hang in with it.
    """
    if LIBC < (2, 43):
        as_without(t, "fork_in_handler", "create", "400")
        return
    code = t.start("fork_in_handler", "create", "400", shim=False).wait(60)
    t.check(code in (0, HUNG), "without the shim: exit %d" % code)
    code = t.start("fork_in_handler", "create", "400").wait(60)
    t.check(code in (0, HUNG), "exit %d" % code)
    t.claim_all("lockup")


@test("fork/order of others' handlers")
def order_of_handlers(t):
    """pthread_atfork: prepare handlers in reverse, parent's and child's in the order of registration; as without."""
    def said(**settings):
        return [line.strip() for line in t.run("atfork_order", **settings).output if ": " in line]

    without = said(shim=False)
    prepare = "prepare-c prepare-b prepare-a "
    expected = ["%s, %s: %s%s-a %s-b %s-c" % (who, side, prepare, side, side, side) for who in ("main", "thread")
                for side in ("child", "parent")]
    t.same("the documented order", without[:4], expected)
    t.same("with the shim", said(), without)
    t.same("beside jemalloc", said(LD_PRELOAD="%s:%s" % (places.JEMALLOC, places.LIBRARY)), without)


def called(t, modules, site=None, shim=True):
    """Whose handlers were called in which order, phase by phase, the shim's own left out; checks the documented order."""
    log = t.reports / ("atfork-%s.log" % ("with" if shim else "without"))
    preload = [places.PROGRAMS / "libatfork_log.so", places.JEMALLOC] + ([places.LIBRARY] if shim else [])
    t.check(t.python(sys.executable, "atfork_order.py", *modules, site=site, shim=False, ATFORK_LOG=str(log),
                     LD_PRELOAD=":".join(map(str, preload))).wait(40) == 0, "the program failed")
    names: dict = {}
    phases: dict = {}
    for line in log.read_text().splitlines():
        phase, what = line.split()[:2]
        if phase == "registered":
            owner = line.split()[2]
            names[what] = "%s %d" % (owner, sum(name.startswith(owner) for name in names.values()))
        name = names.get(what, what)
        if not name.startswith("libforkmend"):
            phases.setdefault(phase, []).append(name)
    registered = phases["registered"]
    for phase, expected in (("prepare", registered[::-1]), ("parent", registered), ("child", registered),
                            ("before", ["hook-1", "hook-0"]), ("after-parent", ["hook-0", "hook-1"]),
                            ("after-child", ["hook-0", "hook-1"])):
        t.same("%s, %s the shim" % (phase, "with" if shim else "without"), phases.get(phase), expected)
    return phases


def order_of_libraries(t, modules, objects, site=None):
    without = called(t, modules, site, shim=False)
    owners = {name.split()[0].split(".")[0].split("-")[0] for name in without["registered"]}
    t.check(objects <= owners, "%s register no handlers: %s do" % (", ".join(objects - owners), ", ".join(owners)))
    t.same("with the shim", called(t, modules, site), without)
    t.note("handlers of " + ", ".join(without["registered"]))


@test("fork/order of libraries' handlers")
def order_of_jemalloc(t):
    order_of_libraries(t, (), {"libjemalloc"})


@test("soak/order of libraries' handlers", soak=True)
def order_of_packages(t):
    """numpy's OpenBLAS and Arrow, with their threads alive."""
    tag = "cp%d%d" % sys.version_info[:2]
    sites = [places.SITES / tag / name for name in ("numpy-2.4.6", "pyarrow-26.0.1")]
    for site in sites:
        t.check(site.exists(), "%s is missing: run scripts/setup repro" % site)
    order_of_libraries(t, ("numpy", "pyarrow"), {"libjemalloc", "libscipy_openblas64_", "libarrow"},
                       ":".join(map(str, sites)))


@test("fork/in a constructor")
def in_constructor(t):
    as_without(t, "fork_in_constructor")


@test("fork/child of a child, depth 20")
def depth(t):
    t.run("fork_depth", "20", within=40)


@test("fork/depth 5 with the first one's orphan")
def depth_orphan(t):
    """The lock's owner was lost five generations ago; the report is the last process's."""
    program = t.start("fork_depth", "5", "orphan")
    event = t.lockup(program, "locks", "certain", 2.0)
    t.same("the generation", event["process"]["generation"], 5)
    t.same("the owner's generation", event["lost"][0]["generation"], 0)


@test("fork/after the threads have ended")
def after_join(t):
    as_without(t, "fork_after_join")


@test("fork/fails with EAGAIN")
def eagain(t):
    t.run("fork_eagain")


@test("fork/exec, vfork, posix_spawn, system, popen")
def execs(t):
    as_without(t, "fork_exec")


for kind in ("forkpty", "daemon"):
    test("fork/" + kind, kind)(lambda t, kind: t.run("fork_kinds", kind))


@test("fork/parent with 10,000 threads", deadline=120)
def ten_thousand_threads(t):
    """100 forks with and 10 without: the kernel alone needs 60 ms for each."""
    without = t.run("many_threads", "10000", "10", shim=False, within=60).steps()["forked"][1]
    with_shim = t.run("many_threads", "10000", "100", within=60).steps()["forked"][1]
    t.note("%d us a fork and child, without the shim %d us" % (with_shim, without))


def leaks(t, forks, *more):
    program = t.run("fork_leaks", str(forks), *more, within=900)
    t.note("resident %+d KiB" % program.steps()["resident-kib"][1])


test("fork/no leak in 10,000 forks", 10_000, deadline=60)(leaks)
test("fork/no leak in 3,000 forks with a pool", 3_000, "pool", deadline=60)(leaks)
test("soak/no leak in 100,000 forks", 100_000, deadline=900, soak=True)(leaks)
test("soak/no leak in 100,000 forks with a pool", 100_000, "pool", deadline=900, soak=True)(leaks)


@test("soak/pool, 20,000 forks", deadline=900, soak=True)
def many_pool_forks(t):
    t.run("pool_forks", "forks=20000", "forkers=2", within=850)


@test("soak/signal handler, 20,000 forks", deadline=900, soak=True)
def many_handler_forks(t):
    for mode in ("locks", "create", "bare"):
        t.run("fork_in_handler", mode, "20000", within=300)
