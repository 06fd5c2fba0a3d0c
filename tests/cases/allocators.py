"""jemalloc, tcmalloc and mimalloc preloaded beside the shim, in either order, under a pool that allocates all the time."""

from pathlib import Path

from harness import places
from harness.registry import test

FOLDER = Path("/usr/lib/x86_64-linux-gnu")
# Debian's names differ from release to release.
ALLOCATORS = {"jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc_minimal.so.4", "mimalloc": "libmimalloc.so.*"}


def library(name):
    found = sorted(FOLDER.glob(ALLOCATORS[name]))
    return found[0] if found else None


def beside(t, name, order, forks, seconds):
    libraries = [str(library(name)), str(places.LIBRARY)]
    if order == "forkmend first":
        libraries.reverse()
    program = t.run("busy_pool", "work=malloc", "task_us=100", "forks=%d" % forks, "child_ms=20000",
                    "seconds=%d" % seconds, within=seconds + 60,
                    LD_PRELOAD=":".join(libraries))
    seen = {step: value for step, (_, value) in program.steps().items()}
    missed = t.claim_all("drain-missed")
    t.note("%d forks, fork p50 %.2f, p99 %.2f, longest %.2f ms; %d missed" % (
        seen["forks"], seen["fork-p50"] / 1e6, seen["fork-p99"] / 1e6, seen["fork-longest"] / 1e6, len(missed)))
    t.check(seen["forks"] >= min(forks, 5), "%d forks in %d s only" % (seen["forks"], seconds))
    t.same("children that came to harm", [seen[outcome] for outcome in ("hung", "torn", "died", "failed")], [0, 0, 0, 0])
    t.same("missed deadlines", [event["threads"] for event in missed], [])


for name in ALLOCATORS:
    if library(name) is None:
        continue  # bullseye has no mimalloc
    for order in (name + " first", "forkmend first"):
        test("allocators/%s, %s, 40 forks" % (name, order), name, order, 40, 20, deadline=120)(beside)
        test("soak/allocators/%s, %s, 1,000 forks" % (name, order), name, order, 1000, 800, soak=True, deadline=900)(beside)
