"""Runtimes that other libraries bring: the mechanisms on programs of our own, and the catalogue in small.

The catalogue's counts (100 forks of each operation, the large packages) are the soak's.
"""

from cases.repro import suite
from harness.registry import test


@test("quiesce/regions")
def regions(t):
    t.hangs_without("quiesce_regions", step="region")
    t.run("quiesce_regions")


@test("quiesce/fork inside of a region")
def inside_of_a_region(t):
    """The pause is refused: said, and nothing else."""
    t.run("quiesce_regions", "inside", shim=False)
    t.run("quiesce_regions", "inside")
    t.same("the event", [event["feature"] for event in t.claim_all("off")], ["quiesce"])


HEALTHY = ("libuv", "jemalloc")
CURED = ("libgomp",)


@test("repro/runtimes without", deadline=120, beside="runtimes")
def small_without(t):
    suite(t, *CURED, *HEALTHY, "--without", "--count", "2", "--timeout", "3", within=110)


@test("repro/runtimes with", deadline=120, beside="runtimes")
def small_with(t):
    suite(t, *CURED, *HEALTHY, "--with", "--count", "20", "--timeout", "10", within=110)


@test("soak/runtimes, 100 forks of each", deadline=4 * 3600, soak=True)
def hundred(t):
    suite(t, *CURED, *HEALTHY, "--without", "--count", "10", "--timeout", "5", within=3600)
    suite(t, *CURED, *HEALTHY, "--with", "--count", "100", "--timeout", "10", within=3600)
