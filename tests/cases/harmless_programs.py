"""Programs that are made or run in other ways than most: they end with the shim as without, and nothing is reported."""

import os
import signal
import time

from cases.harmless_environment import as_without
from cases.healthy import INTERRUPTED, MODES, QUICK, waits_well
from harness import places
from harness.process import stands_still
from harness.registry import test

# --- crowds ------------------------------------------------------------------------------------------------


@test("harmless/30,000 threads", deadline=120)
def thirty_thousand_threads(t):
    """Or as many as the machine has room for: vm.max_map_count, kernel.pid_max, a cgroup's pids.max."""
    without = t.run("thread_crowd", "30000", shim=False, within=60).steps()["threads"][1]
    with_shim = t.run("thread_crowd", "30000", within=60).steps()["threads"][1]
    t.note("%d threads, %d without the shim" % (with_shim, without))
    t.check(with_shim >= 0.99 * without, "%d threads, without the shim %d" % (with_shim, without))


def fork_crowd(t, milliseconds):
    steps = t.run("fork_crowd", str(milliseconds), within=milliseconds / 1000 + 60).steps()
    t.note("%d forks, %d threads" % (steps["forks"][1], steps["threads"][1]))


test("harmless/eight threads fork at once", 5000)(fork_crowd)
test("soak/eight threads fork at once, a minute", 60_000, deadline=200, soak=True)(fork_crowd)

# --- loaders and namespaces ----------------------------------------------------------------------------------


@test("harmless/LD_AUDIT", beside="harmless")
def audited(t):
    """An audit library stands beside the preload, and sees every symbol that the shim binds."""
    audit = {"LD_AUDIT": places.PROGRAMS / "libaudit.so"}
    as_without(t, "hostile", "work", **audit)
    t.run("pool_forks", "forks=20", **audit)


@test("harmless/dlmopen", beside="harmless")
def own_namespace(t):
    as_without(t, "namespaces", places.PROGRAMS / "libordinary_library.so")


# Below a shell that is preloaded; what ld.so says of a preload for another machine, a 32-bit program hears too.
OUTSIDE = {"static": [], "musl-static": [], "32": ["ERROR: ld.so: object"]}

for kind in OUTSIDE:
    @test("harmless/below a preloaded shell/" + kind, kind, beside="harmless")
    def outside(t, kind):
        program = places.PROGRAMS / ("outside-" + kind)
        if not program.exists():
            t.note("not tested: %s was not built; scripts/setup test installs what it needs" % program.name)
            return
        # Not the shell's last command, else it would only change into it.
        shell = t.run("/bin/sh", "-c", '"$0"; exit $?', program)
        t.same("what it says", [line for line in shell.output if line not in shell.stderr_lines], ["four and four"])
        t.same("lines on stderr", len(shell.stderr_lines), len(OUTSIDE[kind]))
        for line, expected in zip(shell.stderr_lines, OUTSIDE[kind]):
            t.check(line.startswith(expected), "on stderr: " + line)


# --- stacks ----------------------------------------------------------------------------------------------------

for mode in ("switch", "fork", "handler"):
    test("harmless/contexts/" + mode, mode, beside="harmless")(lambda t, mode: as_without(t, "contexts", mode))

# --- places and moments ----------------------------------------------------------------------------------------

for place in ("once", "thread-local", "key", "at-exit", "fork-handlers", "fork-in-handler", "reused-handle", "generations",
              "last-thread", "exec", "spawn", "no-privileges", "robust"):
    test("harmless/anywhere/" + place, place, beside="harmless")(lambda t, place: as_without(t, "anywhere", place))

# Looks as often as can be: each may be hit by a signal or a cancellation.
LOOKS = {"FORKMEND_GRACE_MS": 1, "FORKMEND_THRESHOLD_MS": 3_600_000}


def storm(t, kind, milliseconds, *where):
    as_without(t, "storms", kind, str(milliseconds), *where, within=milliseconds / 1000 + 30, **LOOKS)


for kind in ("signals", "cancels"):
    for where in ((), ("child",)):
        test("harmless/storm of %s%s" % (kind, " in a child" * len(where)), kind, 1000, *where, beside="storm")(storm)
        test("soak/storm of %s%s" % (kind, " in a child" * len(where)), kind, 60_000, *where, soak=True, beside="storm-soak",
             deadline=200)(storm)


@test("harmless/handler posts in the middle of a child's first signal", beside="storm")
def first_signal(t):
    as_without(t, "storms", "first", "300", within=60)


# --- stopped ---------------------------------------------------------------------------------------------------

# Stopped for three times the threshold, in the middle of the wait; then what it waits for comes. As Linux has it, epoll_wait
# ends with EINTR by a stop alone (signal(7)).
ENDS = {**INTERRUPTED, "epoll": 8}
STOPPED = {**QUICK, "STOP_MS": 3000, "LATE_MS": 1000}
STOPPED_LONG = {"STOP_MS": 20_000, "LATE_MS": 4000}


def stopped(t, mode, settings, *more):
    waits_well(t, mode, settings, *more, ends=ENDS)


for mode in ("sem-handler", "pipe", "epoll", "shared-sem", "cond"):
    test("harmless/stopped/" + mode, mode, STOPPED, beside="stopped")(stopped)
for mode in (*MODES, *INTERRUPTED):
    test("soak/stopped for 20 s/" + mode, mode, STOPPED_LONG, "pool", soak=True, beside="stopped-soak", deadline=150)(stopped)


@test("harmless/stopped/patience", beside="stopped")
def patience(t):
    """A likely lockup is one only after the threshold: of time in which the process could run."""
    threshold, stopped = 2.0, 4.0
    program = t.start("handed_over", "cond", FORKMEND_THRESHOLD_MS=int(threshold * 1000), FORKMEND_GRACE_MS=200)
    match = program.wait_for_line(r"^step waits (\d+) (\d+)$", 20)
    since, pid = int(match[1]), int(match[2])
    t.check(stands_still(pid, 0.3), "the child does not wait")
    os.kill(pid, signal.SIGSTOP)
    stopped_at = time.monotonic_ns()
    time.sleep(stopped)
    went_on = time.monotonic_ns()
    os.kill(pid, signal.SIGCONT)
    event = t.lockup(program, "waits", "likely", within=stopped + threshold + 2.0)
    ran = (event["mono_ns"] - went_on) + (stopped_at - since)
    t.check(ran >= threshold * 1e9, "reported after it had run %.2f s" % (ran / 1e9))
