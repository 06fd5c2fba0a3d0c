"""etcd-client-py (Rust, tokio, pyo3): the process dies while it exits.

Workers of its tokio runtime finish asyncio's futures, for which they enter the interpreter. CPython up to 3.13 throws a
thread that enters while it finalises out with pthread_exit; the forced unwind through Rust's frames aborts, or drops
Python objects without the GIL. Once the interpreter is gone, entering it is a SIGSEGV.

Pinned to one CPU the workers run late, and it is near certain. The server is a real one; every other program asks for
the exit code 3.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from repro_suite import places, servers
from repro_suite.case import ANYTHING, Case, Expectation, Trial
from repro_suite.exit_loop import ExitLoop, Scenario
from repro_suite.interpreters import Interpreter
from repro_suite.outcomes import Iteration
from repro_suite.packages import PackageSet, site_for
from repro_suite.victim import VictimUnusable

VICTIM = places.VICTIMS / "exit_clients.py"
VALKEY_GLIDE = PackageSet("valkey-glide", "2.6.0", ("valkey-glide==2.6.0", "valkey-glide-sync==2.6.0"))
ETCD_CLIENTS = tuple(
    PackageSet("etcd-client-py", version, ("etcd-client-py==" + version,)) for version in ("0.3.0", "0.4.1", "0.5.1")
)

SIX = tuple(
    Scenario(name, iterations)
    for name, iterations in (("s1", 20), ("s2", 20), ("s3", 20), ("s4", 30), ("s5", 50), ("s6", 20))
)


class ExitCase(Case):
    """Programs that leave while work is in flight."""

    groups = ("etcd",)
    made_ready_for = ("test", "repro")
    default_timeout_s = 60.0
    package_sets = ETCD_CLIENTS
    oldest = (3, 10, 0)

    def __init__(self, name: str, title: str, expectation: Expectation, *scenarios: Scenario, pinned: bool = False):
        self.name = name
        self.title = title
        self.expectation = expectation
        self.default_count = sum(scenario.iterations for scenario in scenarios)
        self._scenarios = scenarios
        self._pinned = pinned

    def supports(self, interpreter: Interpreter) -> bool:
        return interpreter.version >= self.oldest

    def run(self, trial: Trial) -> Iterator[Iteration]:
        with contextlib.ExitStack() as stack:
            try:
                addresses: tuple[str, ...] = ("--etcd", stack.enter_context(servers.etcd()))
                addresses += ("--valkey", str(stack.enter_context(servers.valkey())))
            except servers.ServerMissing as missing:
                raise VictimUnusable(str(missing)) from None
            self._add_path(trial)
            yield from ExitLoop(
                trial,
                self._scenarios,
                lambda name, code: (
                    *(("taskset", "-c", "0") if self._pinned else ()),
                    *trial.victim_argv(VICTIM, name, *addresses, "--exit-code", str(code)),
                ),
            ).run()

    def _add_path(self, trial: Trial) -> None:
        """The other client beside the one under test: of its own directory, since it is the same for all of them."""
        other = site_for(VALKEY_GLIDE, trial.interpreter).directory
        trial.environment["PYTHONPATH"] += ":%s" % other


# What a watch or a put does when it is in flight at exit depends on the moment, and on the machine. The bounds are for a
# whole set, and far below what was measured (pinned, 0.3.0 and 0.4.1: 38 to 90 %).
CASES = [
    ExitCase("etcd-six", "etcd-client-py: six ways to leave with work in flight", ANYTHING, *SIX),
    ExitCase("etcd-six-pinned", "etcd-client-py: the same on one CPU", Expectation(0.2), *SIX, pinned=True),
    ExitCase("etcd-open", "etcd-client-py: puts in flight, the loop left open", ANYTHING, Scenario("open-s2", 100)),
    ExitCase("etcd-many", "etcd-client-py: 2,000 puts in flight", ANYTHING, Scenario("many", 100)),
    ExitCase("etcd-late", "etcd-client-py: a watch event after finalisation", Expectation(0.9), Scenario("open-late", 20)),
    ExitCase("etcd-handler", "etcd-client-py: used by a handler of atexit", ANYTHING, Scenario("handler", 20)),
]
