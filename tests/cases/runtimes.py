"""Runtimes that other libraries bring: the mechanisms on programs of our own, and the catalogue in small.

The catalogue's counts (100 forks of each operation, the large packages) are the soak's.
"""

from cases.repro import suite
from harness import places
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


def learnt(t, *arguments, expect):
    """What `forkmend profiles learn` prints, and that its profile is a good one."""
    command = t.start(places.BUILD / "forkmend", "profiles", "learn", *arguments, shim=False)
    t.same("exit code", command.wait(30), expect)
    return "\n".join(command.output)


@test("learn/pool", beside="runtimes")
def learn_pool(t):
    text = learnt(t, "--", places.PROGRAMS / "learn_pool", expect=7)
    t.check("learn_pool  3 threads named learn-pool" in text, "three threads: " + text)
    t.check("pthread_cond_wait called by" in text, "where they wait: " + text)
    profile = text[text.index("# Threads of") :]
    t.check('thread = ["learn-pool"]' in profile, "the profile: " + profile)
    path = t.directory / "learnt.toml"
    path.write_text(profile)
    t.run(places.BUILD / "forkmend", "profiles", "check", path, shim=False)


@test("learn/known", beside="runtimes")
def learn_known(t):
    """A runtime with a built-in profile, in a program that does not end by itself: 128 + SIGTERM."""
    for _ in range(3):  # it may end while it is looked at: its status is not lost by that
        text = learnt(t, "--seconds", "1", "--", places.PROGRAMS / "learn_openmp", expect=143)
        t.check("profile libgomp, policy quiesce: nothing to write" in text, "the profile: " + text)


@test("learn/bad input")
def learn_bad_input(t):
    for arguments, code, line in (
        ((), 2, "no program: write forkmend profiles learn -- PROGRAM [ARGUMENTS]"),
        (("--seconds", "x", "--", "true"), 2, "--seconds: Value x not in range 1 to 86400"),
        (("--", "no-such-program"), 127, "no-such-program: No such file or directory"),
        (("--", "/"), 126, "/: Permission denied"),
    ):
        text = learnt(t, *arguments, expect=code)
        t.check(line in text and "\n" not in text, "one line with %r: %r" % (line, text))
