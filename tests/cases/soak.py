"""What is only in the soak and belongs to no other file: rare moments, looked for long."""

from harness.registry import test


@test("soak/deep and wide", deadline=1800, soak=True)
def deep_and_wide(t):
    t.run("pool_forks", "forks=300", "depth=6", "forkers=3", "load=3", within=600)
    t.run("pool_forks", "threads=1000", "forks=300", within=600)
    t.run("fork_depth", "200", within=300)


@test("soak/lockups, fifty times", deadline=1800, soak=True)
def lockups_again(t):
    """Every orphan is found, every time, within the grace."""
    for _ in range(50):
        t.run("orphan_lock", "normal", expect=3, within=5, FORKMEND_ON_LOCKUP="exit:3", FORKMEND_GRACE_MS=100)
        t.run("lost_signaller", "std", expect=3, within=5, FORKMEND_ON_LOCKUP="exit:3", FORKMEND_GRACE_MS=100)
    t.claim_all("lockup")
