"""Thread records: who is who in a child, what its creator may touch, and what a child's own threads cost."""

from harness.registry import test
from harness.process import Failure


def as_without(t, *arguments, **options):
    t.run(*arguments, shim=False, **options)
    t.run(*arguments, **options)


@test("records/join of a thread on a lost one's stack")
def join_reused(t):
    """It has ended and its record is released: what is left with its handle is the lost thread's."""
    as_without(t, "join_in_child", "200", "reused")


def joins(t, count, *more):
    wrong = t.run("join_in_child", str(count), *more, within=600).steps()["wrong"][1]
    t.note("%d wrong joins of %d" % (wrong, count))


for stacks in ("libc's", "own"):
    more = ("own",) if stacks == "own" else ()
    test("records/20,000 joins on %s stacks" % stacks, 20_000, *more, deadline=120)(joins)
    test("soak/1,000,000 joins on %s stacks" % stacks, 1_000_000, *more, deadline=900, soak=True)(joins)

for arguments in ((), ("c11",), ("parent",), ("c11", "parent")):
    test("records/thread that frees its pthread_t" + "".join("/" + word for word in arguments), *arguments)(
        lambda t, *words: as_without(t, "create_frees", "3000", *words))


@test("records/create and join beside 10,000 lost threads", deadline=120)
def beside_lost(t):
    """What is looked at, not how long it takes: the records of 10,000 threads are more than 4,000 KiB."""
    few = t.run("lost_many", "10", "100").steps()
    many = t.run("lost_many", "10000", "100", within=60).steps()
    more = many["accessed-kib"][1] - few["accessed-kib"][1]
    t.check(more < 1024, "a child looks at %d KiB more where 10,000 threads are lost" % more)
    t.note("%d KiB more than beside 10; %d us a pair, beside 10 %d us" % (
        more, many["pair-ns"][1] / 1000, few["pair-ns"][1] / 1000))


@test("fork/eight threads at once, each with a lock", deadline=120)
def at_once(t):
    """Without the shim no child finds its own lock open; the lock of a lost thread stays held in each."""
    program = t.start("fork_at_once", "20", shim=False)
    if program.wait(30) != 1 or program.steps()["opened-own"][1] != 0 or program.steps()["left-held"][1] != 160:
        raise Failure("not reproduced: %s" % program.output)
    t.run("fork_at_once", "50", FORKMEND_DRAIN_MS=1, within=100)
    t.claim_all("lock-opened")
    t.claim_all("drain-missed")
