"""The suite of real packages (scripts/repro), in small: it reproduces without the shim, and is clean with it.

The counts of the issue (1,000 forks of each version) are the soak's.
"""

from harness import places
from harness.process import Failure
from harness.registry import test

SUITE = places.ROOT / "scripts" / "repro"
PYTHON = places.BUILD / "venv" / "bin" / "python"


def suite(t, *arguments, within):
    program = t.start(SUITE, *arguments, shim=False)
    code = program.wait(within)
    if code != 0:
        raise Failure("scripts/repro %s ended with %d" % (" ".join(arguments), code))


@test("repro/the suite's own tests")
def own_tests(t):
    program = t.start(PYTHON, "-m", "unittest", "discover", "-s", "repro_suite/tests", "-t", ".", shim=False,
                      cwd=places.ROOT / "scripts")
    t.same("exit code", program.wait(50), 0)


@test("repro/statsig without", deadline=150)
def without(t):
    """A third of the forks locks up: that 30 forks show none has a chance of one in 100,000."""
    suite(t, "statsig", "--python", "debian", "--without", "--count", "30", "--timeout", "2", within=140)


@test("repro/statsig with", deadline=150)
def with_shim(t):
    suite(t, "statsig", "statsig-fake", "statsig-mp", "statsig-4", "--python", "debian", "--with", "--count", "60",
          "--timeout", "5", within=140)


@test("repro/etcd-client-py at exit", deadline=150)
def etcd(t):
    """A late event kills every process without the shim; the six scenarios in small with it."""
    suite(t, "etcd-late", "--python", "debian", "--both", "--count", "2", "--timeout", "30", within=70)
    suite(t, "etcd-six-pinned", "--python", "debian", "--with", "--count", "8", "--timeout", "30", within=70)


STATSIG = ("statsig", "statsig-mp", "statsig-fake", "statsig-4")


@test("soak/repro, 1,000 forks of everything", deadline=4 * 3600, soak=True)
def thousand(t):
    suite(t, *STATSIG, "--without", "--count", "100", "--timeout", "5", within=2 * 3600)
    suite(t, *STATSIG, "--with", "--count", "1000", "--timeout", "5", within=2 * 3600)


@test("soak/repro, all ways to leave", deadline=4 * 3600, soak=True)
def leave(t):
    suite(t, "etcd", "valkey", "--both", "--count-without", "40", "--timeout", "60", within=4 * 3600 - 60)
