"""Functions of libc that take a lock which no fork resets: forks beside threads that call them without a pause."""

from harness.context import HUNG
from harness.process import Failure
from harness.registry import test

FUNCTIONS = ("getaddrinfo", "localtime_r", "gmtime", "strftime", "syslog", "setenv", "getpwnam", "getgrnam",
             "newlocale", "gettext", "random", "atexit")
# Forks until a child is sure to have met the lock: the rarest, random's, is met in one of twenty.
WITHOUT = 3000


def hangs_without(t, function):
    code = t.start("libc_calls", function, WITHOUT, 4, shim=False, VICTIM_MS=1000).wait(120)
    if code != HUNG:
        raise Failure("not reproduced: without the shim %d children of %s are well" % (WITHOUT, function))


def beside(t, function, forks):
    hangs_without(t, function)
    for threads in (1, 4):
        t.run("libc_calls", function, forks, threads, within=600)


for name in FUNCTIONS:
    test("libc calls/" + name, name, 200, deadline=180)(beside)
    test("soak/libc calls/%s, 10,000 forks" % name, name, 10_000, soak=True, deadline=900)(beside)


@test("libc calls/a name server that answers late", deadline=60)
def late_name_server(t):
    """A thread that asks a server for a name holds nothing meanwhile: no fork waits for it, and every child resolves.

    The victim measures its forks itself. 20 ms are what the library promises for 99 of 100.
    """
    seen = {name: value for name, (_, value) in t.run("late_name_server", within=50).steps().items()}
    t.check(seen["asked"] > 0, "the server was never asked")
    t.note("fork p99 %.2f ms" % (seen["fork-p99"] / 1e6))


@test("libc calls/stuck", beside="lockups")
def stuck(t):
    """The lock cannot be waited for: the child is told which function, and who was inside."""
    t.hangs_without("libc_stuck", step="converts")
    event = t.lockup(t.start("libc_stuck"), "converts", "certain", within=2.0)
    t.same("the cause", event["cause"], "libc-lock")
    t.same("the call", event["wait"]["call"], "localtime_r")
    t.check("localtime at the fork" in event["evidence"][0]["text"], "evidence: %s" % event["evidence"])
