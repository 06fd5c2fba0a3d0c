"""Runs a victim that lives once and leaves, and says what each of its ends came to.

Promises: an end is good if the exit code is the one that the program asked for and stderr is empty but for
what asyncio always says; a program that is still there at the deadline is dumped and killed, and counts as a lockup.
The very first process is only looked at: it shows that the victim runs under what the mode promises.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Callable

from repro_suite.case import Trial
from repro_suite.outcomes import Iteration, Outcome
from repro_suite.symptoms import SymptomWatch
from repro_suite.victim import Silence, Victim, VictimUnusable, describe_status

# Every other program asks for 0.
EXIT_CODE = 3
# What asyncio says in a clean run without the shim: of tasks that a program leaves behind, and of a result that comes
# when the loop is closed and the interpreter still there (every time, if the program lingers: exit_clients.py --linger).
# Several threads print such tracebacks at once, piece by piece, and the end of the process cuts them off; so it is the
# pieces that are known.
ASYNCIOS_OWN = re.compile(
    r"^(Task was destroyed but it is pending!|task: <Task .*|("
    r"Traceback \(most recent call last\):|RuntimeError|: |Event loop is closed|File|"
    r"\"[^\"]*asyncio/base_events\.py\"|, line |\d+|, in |call_soon_threadsafe|self\._check_closed\(\)|_check_closed|"
    r"raise RuntimeError\('Event loop is closed'\)|[\s~^)])*)$"
)


@dataclass(frozen=True)
class Scenario:
    name: str
    iterations: int


class Stderr:
    """One process's: what is asyncio's own goes to the log and nowhere else."""

    def __init__(self, symptoms: SymptomWatch):
        self._symptoms = symptoms
        self.last = ""

    def feed(self, line: str) -> None:
        if not ASYNCIOS_OWN.match(line):
            self.last = line
            self._symptoms.feed(line)


class ExitLoop:
    """`argv_for` makes a command line of a scenario's name and the exit code that is asked for."""

    def __init__(self, trial: Trial, scenarios: Sequence[Scenario], argv_for: Callable[[str, int], Sequence[str]]):
        self._trial = trial
        self._argv_for = argv_for
        self._scenarios = scenarios

    def run(self) -> Iterator[Iteration]:
        self._check()
        for number, name in enumerate(self._names(), 1):
            if self._trial.stop.is_set():
                return
            yield self._live_once(number, name)

    def _names(self) -> Iterator[str]:
        """trial.count of them, in the scenarios' proportions."""
        whole = sum(scenario.iterations for scenario in self._scenarios)
        for place in range(self._trial.count):
            at = place * whole // self._trial.count
            for scenario in self._scenarios:
                if at < scenario.iterations:
                    yield scenario.name
                    break
                at -= scenario.iterations

    def _check(self) -> None:
        victim = self._start("hold", 0, Stderr(self._trial.symptoms))
        try:
            event = victim.next_event(time.monotonic() + self._trial.timeout_s)
            if isinstance(event, Silence):
                raise VictimUnusable("the victim does not start: %s" % " | ".join(victim.last_stderr))
            self._trial.check_preload(victim.pid)
        finally:
            victim.close()

    def _start(self, name: str, code: int, stderr: Stderr) -> Victim:
        return Victim(self._argv_for(name, code), self._trial.environment, self._trial.log, stderr)

    def _live_once(self, number: int, name: str) -> Iteration:
        code = EXIT_CODE if number % 2 == 0 else 0
        stderr = Stderr(self._trial.symptoms)
        victim = self._start(name, code, stderr)
        deadline = time.monotonic() + self._trial.timeout_s
        try:
            while True:
                event = victim.next_event(deadline)
                if isinstance(event, Silence):
                    break
            if event is Silence.DEADLINE:
                process = victim.find(victim.pid)
                if process is not None:
                    self._trial.log.iteration(number, victim.dump(process))
        finally:
            status = victim.close()
        if event is Silence.DEADLINE:
            outcome, detail = Outcome.LOCKUP, "still there after %g s" % self._trial.timeout_s
        elif status < 0:
            outcome, detail = Outcome.CRASH, describe_status(status)
        elif status != code:
            outcome, detail = Outcome.WRONG, "%s instead of %d" % (describe_status(status), code)
        elif stderr.last:
            outcome, detail = Outcome.WRONG, "on stderr: " + stderr.last
        else:
            return Iteration(number, Outcome.OK, pid=victim.pid)
        detail = "%s: %s" % (name, detail)
        self._trial.log.iteration(number, "%s (%s)" % (outcome.value, detail))
        return Iteration(number, outcome, detail, victim.pid)
