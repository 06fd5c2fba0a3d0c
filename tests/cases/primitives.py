"""Every primitive in every state in which a fork may find it: without the shim, and usable in the child with it.

The program knows the list (`primitive list`): what to try, which setting its cure needs, and on which libc a child is
harmed without the shim. Where it says "always", or names this libc, a child that is well without the shim fails the test
as "not reproduced"; where it says "never" the child must be well without and stay so.

FORKMEND_TABLE=FILE writes what was seen as rows {"primitive", "state", "libc", "setting", "without", "with"}.
"""

import json
import os
import platform
import subprocess
import threading

from harness import places
from harness.context import HUNG
from harness.process import Failure, stands_still
from harness.registry import test

# The second is built by a newer compiler, for what the first one's library has not: scripts/glibc_test puts it there.
PROGRAMS = ("primitive", "primitive-newer")
STILL_S = 0.7
LIBC = platform.libc_ver()[1]
_rows: list[dict] = []
_writing = threading.Lock()


def cases():
    """(program, name, state, setting, harm) of each case: of the first program that is there, runs here and knows it."""
    known: dict = {}
    for program in PROGRAMS:
        path = places.PROGRAMS / program
        if not path.exists():
            continue
        listed = subprocess.run([str(path), "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if program == PROGRAMS[0]:
            listed.check_returncode()
        for line in listed.stdout.decode().splitlines():
            name, state, setting, harm = line.split()
            known.setdefault((name, state), (program, name, state, setting, harm))
    return known.values()


def _version(text):
    return tuple(int(part) for part in text.split("."))


def harmed_here(harm):
    if harm.startswith(">="):
        return _version(LIBC) >= _version(harm[2:])
    if harm.startswith("<"):
        return _version(LIBC) < _version(harm[1:])
    return {"always": True, "never": False}[harm]


def outcome(t, name, state, shim, program=PROGRAMS[0], **settings):
    """ok, hangs, "fails at step N", or the signal the child died of."""
    process = t.start(program, name, state, shim=shim, **settings)
    pid = int(process.wait_for_line(r"^step acts \d+ (\d+)$", 20)[1])
    if stands_still(pid, STILL_S):
        process.kill_child(pid)
        process.wait(10)
        return "hangs"
    code = process.wait(30)
    if code == 0:
        return "ok"
    if code == HUNG:
        return "hangs"
    return "dies (signal %d)" % (code - 128) if code > 128 else "fails at step %d" % code


def tried(t, program, name, state, setting, harm):
    without = outcome(t, name, state, shim=False, program=program)
    settings: dict = {"FORKMEND_ORPHANS": "reset"} if setting in ("reset", "keep") else {}
    if state == "registered":
        settings["FORKMEND_DRAIN_MS"] = 30  # its thread sleeps with the lock: it never parks
    seen = outcome(t, name, state, shim=True, program=program, **settings)
    with _writing:
        _rows.append({"primitive": name, "state": state, "libc": LIBC, "setting": {"-": "default", "keep": "reset"}.get(setting, setting),
                      "without": without, "with": seen})
        if "FORKMEND_TABLE" in os.environ:
            with open(os.environ["FORKMEND_TABLE"], "w") as table:
                json.dump(_rows, table, indent=1)
    t.note("without: " + without)
    t.same("with the shim", seen, "ok")
    if harmed_here(harm) and without == "ok":
        raise Failure("not reproduced: the child is well without the shim")
    if not harmed_here(harm):
        t.same("without the shim", without, "ok")
    opened = t.claim_all("lock-opened")
    t.claim_all("drain-missed")
    # "keep": another process sees it, and nothing is opened.
    if setting == "reset" or (state == "registered" and setting == "-" and name != "sem"):
        t.check(opened, "no event says that the lock was opened")
        event = opened[0]
        t.same("when it was opened", event["when"], "fork" if state == "registered" else "contention")
        t.same("its owner did", event["owner"]["at_fork"]["wait"], "sleep")
        t.check(event["owner"]["at_fork"]["stack"]["bytes"], "the owner has no stack")
    else:
        t.same("opened locks", len(opened), 0)


for program, name, state, setting, harm in cases():
    test("primitive/%s/%s" % (name, state), program, name, state, setting, harm, beside="primitive")(tried)


@test("half-run-initialiser", beside="primitive")
def half_run_initialiser(t):
    """By default the child's wait for a static initialiser that nobody runs any more is proved."""
    event = t.lockup(t.start("primitive", "static-initialiser", "inside"), "acts", "certain", 2.0)
    t.same("the cause", event["cause"], "half-run-initialiser")
    t.same("the wait", event["wait"]["call"], "__cxa_guard_acquire")
    t.check("FORKMEND_ORPHANS=reset" in {fix["setting"] for fix in event["fixes"]}, "the fix is not offered")


@test("orphan/pi is reported", beside="primitive")
def orphan_pi(t):
    """libc asserts that a PI mutex has an owner: by default the child waits, and says so, in place of dying."""
    t.same("without the shim", outcome(t, "mutex-pi", "held", shim=False), "dies (signal 6)")
    event = t.lockup(t.start("primitive", "mutex-pi", "held"), "acts", "certain", 2.0)
    t.same("the cause", event["cause"], "orphaned-lock")
