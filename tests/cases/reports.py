"""Reports beside an enemy, beside a fork, and on a stack that is nearly full."""

import os
import stat

from harness.registry import test

GRACE = {"FORKMEND_GRACE_MS": 200}
SIGTERM = 128 + 15


# --- what stands in the directory ------------------------------------------------------------------


def planted(t, mode):
    """The process ends when it is told to; nothing that was there before is written to."""
    t.run("planted", mode, t.reports, shim=False, expect=SIGTERM)
    for planted_before in t.reports.iterdir():
        planted_before.unlink()
    t.run("planted", mode, t.reports, expect=SIGTERM, **GRACE)
    for path in t.reports.iterdir():
        if path.is_fifo() or path.stat().st_size == 0:
            path.unlink()
    t.same("reports", len(t.claim_all("lockup")), 1)


for mode in ("fifo", "file", "stderr"):
    test("reports/planted/" + mode, mode)(planted)


def locks_up(t, directory, **settings):
    return t.run("orphan_lock", "normal", expect=3, FORKMEND_ON_LOCKUP="exit:3", FORKMEND_DIR=directory, **GRACE,
                 **settings)


def refused(t, directory, reason, **settings):
    """Nothing is written there; one line says why; the report is on stderr, whole."""
    lines = locks_up(t, directory, **settings).stderr_lines
    said = [line for line in lines if ": no report file: " in line]
    t.same("lines that say why", len(said), 1)
    t.check(reason in said[0] and ("FORKMEND_DIR" in said[0] or "chmod" in said[0]), "the line is %r" % said[0])
    t.check(any(line.startswith("forkmend: LOCKUP certain") for line in lines), "no report on stderr: %r" % lines)
    t.check(any(line.startswith("FIX NOW") for line in lines), "the report is not whole: %r" % lines)


@test("reports/directories that are refused")
def refused_directories(t):
    directory = t.directory / "theirs"
    directory.mkdir()
    directory.chmod(0o777)
    refused(t, directory, "mode 777")
    t.same("files in it", list(directory.iterdir()), [])
    directory.chmod(0o1777)
    locks_up(t, directory)
    t.same("files in a sticky one", len(list(directory.iterdir())), 1)
    link = t.directory / "link"
    link.symlink_to(directory)
    refused(t, link, "a link")
    refused(t, t.log, "no directory")
    t.same("files in the end", len(list(directory.iterdir())), 1)


@test("reports/directories of others")
def directories_of_others(t):
    if os.geteuid() != 0:
        return t.note("needs root: left out")
    directory = t.directory / "theirs"
    directory.mkdir(mode=0o755)
    os.chown(directory, 1234, 1234)
    refused(t, directory, "belongs to user 1234")
    # Where the user's own is somebody else's, the next is taken.
    runtime, temporary = t.directory / "run", t.directory / "tmp"
    for parent in (runtime, temporary):
        parent.mkdir()
    (runtime / "forkmend").mkdir()
    os.chown(runtime / "forkmend", 1234, 1234)
    locks_up(t, "", XDG_RUNTIME_DIR=runtime, TMPDIR=temporary)
    t.same("in theirs", list((runtime / "forkmend").iterdir()), [])
    own = temporary / "forkmend-0"
    t.same("in one's own", len(list(own.iterdir())), 1)
    os.chown(own, 1234, 1234)
    refused(t, "", "belongs to user 1234", XDG_RUNTIME_DIR="", TMPDIR=temporary)
    t.same("in one's own, taken", len(list(own.iterdir())), 1)


@test("reports/files")
def files(t):
    """One a process, 0600, under a name that is another one each time."""
    locks_up(t, t.reports)
    locks_up(t, t.reports)
    paths = list(t.reports.iterdir())
    t.same("files", len(paths), 2)
    t.same("modes", {stat.S_IMODE(path.stat().st_mode) for path in paths}, {0o600})
    random = {path.stem.split("-")[3] for path in paths}
    t.same("random numbers", (len(random), {len(number) for number in random}), (2, {16}))
    t.claim_all("lockup")


# --- beside a fork -----------------------------------------------------------------------------------


@test("reports/beside a fork", deadline=120)
def beside_a_fork(t):
    """Children that are forked while other threads report can report too: none waits for a lock that it inherited."""
    program = t.run("report_beside_fork", "60", within=90, FORKMEND_ORPHANS="reset")
    steps = program.steps()
    t.same("children", (steps["reported"][1], steps["hung"][1]), (60, 0))
    t.note("beside %d reports" % steps["beside"][1])
    t.claim_all("lock-opened")


# --- small stacks ------------------------------------------------------------------------------------

# (bytes of stack, bytes in use). glibc keeps 2.3 KiB of a thread's stack and static TLS; a handler's frame takes up to
# 4 KiB of an alternate stack.
SMALL = {"report": (16384, 8000), "alternate": (16384, 8000), "coroutine": (8192, 4000)}


def small_stack(t, where):
    t.hangs_without("small_stack", where, *map(str, SMALL[where]), step="locks")
    program = t.start("small_stack", where, *map(str, SMALL[where]), **GRACE)
    event = t.lockup(program, "locks", "certain", 2.0)
    t.check(event["wait"]["stack"]["bytes"], "the stack of the thread that waits is missing")


for where in SMALL:
    test("stacks/" + where, where, beside="stacks")(small_stack)


def used(t, what, shim):
    settings = {"FORKMEND_ORPHANS": "reset"} if shim else {}
    program = t.start("small_stack", "painted", what, shim=shim, **settings)
    return int(program.wait_for_line(r"^step used \d+ (\d+)$", 20)[1])


def stack_use(t, what):
    """A call takes at most this much more of the caller's stack than without the shim (base/own_stack.h)."""
    without = used(t, "wait" if what == "lock" else what, False)  # without the shim the lock is never had
    more = used(t, what, True) - without
    t.check(more <= 2048, "%d bytes more than without the shim" % more)
    t.note("%d bytes, %+d" % (without, more))
    t.claim_all("lock-opened")


for what in ("create", "fork", "wait", "lock"):
    test("stacks/use of " + what, what)(stack_use)


# --- without memory ------------------------------------------------------------------------------------


@test("reports/no table")
def no_table(t):
    """A setting that cannot be read, in a process that cannot map what reading the parent's takes."""
    t.run("no_table", shim=False)
    t.run("no_table", FORKMEND_DRAIN_MS="abc")
