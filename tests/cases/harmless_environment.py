"""Where a program has less than it is used to: it ends with the shim as it does without, and nothing is reported."""

import os
import sys

from harness import places
from harness.registry import test

PROGRAM = places.PROGRAMS / "hostile"


def as_without(t, *arguments, expect=0, within=30.0, **settings):
    """The program says and ends the same without the shim and with it; with it stderr is silent."""
    without = t.run(*arguments, shim=False, expect=expect, within=within, **settings)
    with_shim = t.run(*arguments, expect=expect, within=within, **settings)
    t.same("what it says", with_shim.output, without.output)
    return with_shim


# What each mode leaves its program: see programs/hostile.cc. `exec`: the shim is loaded where it is so.
MODES = ("work", "closed", "closed exec", "all-closed", "all-closed exec", "nofile 3", "nofile 4 exec", "nofile 10",
         "nofile 10 exec", "stack 64 exec", "stack 256 exec", "as 48", "nproc", "memlock", "memlock exec", "fsize",
         "fsize exec", "small-stacks", "enosys", "eperm", "killed", "killed-later")
ROOT_MODES = ("no-proc", "no-proc exec", "chroot", "pid-one", "user")

for mode in MODES:
    test("harmless/" + mode, mode, beside="harmless")(lambda t, mode: as_without(t, "hostile", *mode.split()))


def as_root(t, mode):
    if os.geteuid() != 0:
        t.note("not tested: needs root")
        return
    if t.start("hostile", *mode.split(), shim=False).wait(30) == 98:
        t.note("not tested: this machine does not let us make it: " + t.log.read_text().splitlines()[-1])
        return
    as_without(t, "hostile", *mode.split())


for mode in ROOT_MODES:
    test("harmless/" + mode, mode, beside="harmless")(as_root)


# --- where the shim has something to write and cannot ------------------------------------------------------

# A child opens the lock of a lost thread, which is an event and, with FORKMEND_LOG=info, a line.
OPENS = ("orphan_lock", "normal")
SETTINGS = {"FORKMEND_ORPHANS": "reset", "FORKMEND_GRACE_MS": 200, "FORKMEND_LOG": "info"}

# Programs find their stderr so: the first argument says how, the others are the program.
STDERR = """
import fcntl, os, signal, sys
how, program = sys.argv[1], sys.argv[2:]
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
reading, writing = os.pipe()
if how == "full":
    os.set_inheritable(reading, True)
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, bytes(4096))
    except BlockingIOError:
        os.set_blocking(writing, True)
else:
    os.close(reading)
os.dup2(writing, 2)
os.execv(program[0], program)
"""


def program_of(arguments):
    return (places.PROGRAMS / arguments[0], *arguments[1:])


def stderr_is(t, how):
    t.run(sys.executable, "-c", STDERR, how, *program_of(OPENS), **SETTINGS)
    t.same("opened locks", len(t.claim_all("lock-opened")), 1)


for how in ("closed", "full"):
    test("harmless/stderr is a %s pipe" % how, how, beside="harmless")(stderr_is)


@test("harmless/report beyond RLIMIT_FSIZE", beside="harmless")
def file_size_limit(t):
    """SIGXFSZ ends a process. The report stays empty, and the program does not notice."""
    reports = t.directory / "limited"
    reports.mkdir()
    t.run("/usr/bin/prlimit", "--fsize=0", *program_of(OPENS), FORKMEND_DIR=reports, **SETTINGS)
    t.same("bytes written", [file.stat().st_size for file in reports.iterdir()], [0])


@test("harmless/report on a full disk", beside="harmless")
def full_disk(t):
    disk = t.directory / "disk"
    disk.mkdir()
    fill = ('mount -t tmpfs -o size=4k none "$0" && mkdir "$0/reports" && head -c 4096 /dev/zero >"$0/full" && '
            '! head -c 1 /dev/zero >"$0/more" 2>/dev/null && export FORKMEND_DIR="$0/reports" && exec "$@"')
    below = ("/usr/bin/unshare", "--mount", "/bin/sh", "-c", fill, disk)
    if t.start(*below, "/bin/true", shim=False).wait(10) != 0:
        t.note("not tested: no disk can be mounted here: " + t.log.read_text().splitlines()[-1])
        return
    as_without(t, *below, PROGRAM, "work")
    t.run(*below, *program_of(OPENS), **SETTINGS)
    # What cannot be written in the directory is said on stderr.
    locks_up = dict(SETTINGS, FORKMEND_ORPHANS="report", FORKMEND_ON_LOCKUP="exit:3")
    lines = t.run(*below, *program_of(OPENS), expect=3, **locks_up).stderr_lines
    t.check(any(": lockup " in line for line in lines), "the lockup is not said: %r" % lines)
