"""What tools say about the sources: a target of the Makefile each. A tool that is missing is a failure.

clang-tidy runs without its static analyzer here, which takes a quarter of an hour: `make lint` is the whole.
"""

from harness import places
from harness.registry import test

WITHIN_S = 1500.0


def clean(t, target):
    code = t.start("/usr/bin/env", "make", "-j2", target, "TIDY=quick", shim=False, cwd=places.ROOT, MAKEFLAGS="",
                   MAKELEVEL="0").wait(WITHIN_S)
    t.check(code == 0, "make %s ends with %d" % (target, code))


for what in ("format", "layers", "ruff", "mypy", "shell", "tidy"):
    test("lint/" + what, "lint-" + what, deadline=WITHIN_S + 60)(clean)
