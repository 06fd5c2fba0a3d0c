"""Policy forkall: a lost thread that stood in a wait goes on in the child when the child wakes what it waits
for, and nothing else wakes it.
"""

from harness.registry import test

POLICY = {"FORKMEND_POLICY": "*:forkall"}
HUNG = 99
FOUND_NOBODY = {"join": 5, "cancel": 6}

for mode in ("cond", "broadcast", "sem", "futex-private", "futex-shared", "requeue", "eventfd", "set", "holder", "join",
             "cancel", "grandchild"):
    @test("forkall/" + mode, mode, beside="forkall")
    def woken(t, mode):
        """Without the shim, and where only reports are asked for, the child waits for ever; with it it gets an answer."""
        t.check(t.start("forkall", mode, shim=False, VICTIM_MS=1000).wait(30) != 0, "not reproduced without the shim")
        t.run("forkall", mode, expect=FOUND_NOBODY.get(mode, HUNG), VICTIM_MS=1000, FORKMEND_POLICY="*:report")
        for _ in range(10):
            t.run("forkall", mode, **POLICY)


for mode in ("timeout", "signal", "ipc", "shared-sem", "init", "anew", "raw"):
    @test("forkall/nobody/" + mode, mode, beside="forkall")
    def nobody(t, mode):
        """A child that hands nothing over, or makes its own threads, has no thread more than without the shim."""
        t.run("forkall", mode, shim=False)
        for _ in range(5):
            program = t.run("forkall", mode, FORKMEND_LOG="info", **POLICY)
            t.check(not any("goes on" in line for line in program.stderr_lines), "%r" % program.stderr_lines)


@test("forkall/busy")
def busy(t):
    """Forks while the threads run: what is seen in a wait goes on whole, the rest is lost."""
    t.run("forkall", "busy", within=120, **POLICY)
