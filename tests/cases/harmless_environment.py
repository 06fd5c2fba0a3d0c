"""Where a program has less than it is used to: it ends with the shim as it does without, and nothing is reported."""

import os
import subprocess

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
