"""What a case is, and what it is handed to run.

A new case: subclass `Case` in a module of `cases/`, say which packages it needs and what is expected without the shim,
and yield one `Iteration` for each fork or process. Deadlines, stacks, killing, logging and judging are shared.
"""

from __future__ import annotations

import abc
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from repro_suite.interpreters import Interpreter
from repro_suite.outcomes import Iteration, Tally
from repro_suite.packages import PackageSet
from repro_suite.run_log import LabelledLog
from repro_suite.symptoms import KnownSymptom, SymptomWatch


@dataclass(frozen=True)
class Expectation:
    """What a combination shows without the shim: at least this rate of bad iterations, none at all, or whatever."""

    fails_at_least: float
    anything: bool = False

    @property
    def healthy(self) -> bool:
        return self.fails_at_least == 0 and not self.anything

    def met_by(self, tally: Tally) -> bool:
        return tally.bad == 0 if self.healthy else tally.bad_rate >= self.fails_at_least

    def __str__(self) -> str:
        if self.anything:
            return "fails now and then"
        return "healthy" if self.healthy else "fails in at least %g %%" % (100 * self.fails_at_least)


HEALTHY = Expectation(0)
# What is shown depends on the machine; the rate is in the table.
ANYTHING = Expectation(0, anything=True)


@dataclass
class Trial:
    """One combination in one mode, while it runs."""

    packages: PackageSet
    interpreter: Interpreter
    site: Path
    count: int
    timeout_s: float
    environment: dict[str, str]
    log: LabelledLog
    symptoms: SymptomWatch
    stop: threading.Event
    # Raises VictimUnusable if the process with this id does not run under what the mode promises; a second argument is
    # what the process says of itself, by default it says nothing.
    check_preload: Callable[..., None]
    record_init: Callable[[float], None]

    def victim_argv(self, program: Path, *arguments: str) -> tuple[str, ...]:
        return (str(self.interpreter.path), str(program), *arguments)

    def driver_argv(self, program: Path, *arguments: str) -> tuple[str, ...]:
        """For helpers that are not under test, such as a fake service."""
        return (sys.executable, str(program), *arguments)


class Case(abc.ABC):
    """One way in which a published package breaks."""

    name: str
    title: str
    package_sets: tuple[PackageSet, ...]
    expectation: Expectation
    # Iterations of a combination where the user names no number.
    default_count: int = 50
    # What the package prints without any fork as well: counted and shown, held against nobody.
    known_symptoms: tuple[KnownSymptom, ...] = ()
    # Further names under which scripts/repro runs the case together with others.
    groups: tuple[str, ...] = ()
    # The targets of scripts/setup that make it ready.
    made_ready_for: tuple[str, ...] = ("run", "test", "repro")
    # Runs without Python, so that the table names none.
    any_interpreter: bool = False
    # Where --timeout is not given; None: that of the published repro.
    default_timeout_s: Optional[float] = None

    def supports(self, interpreter: Interpreter) -> bool:
        """False for an interpreter on which the case means nothing; a missing wheel is not such a reason."""
        return True

    def answers_to(self, name: str) -> bool:
        """The case's own name, its first parts (`spdlog`, `spdlog/log`) or a group."""
        return name == self.name or self.name.startswith(name + "/") or name in self.groups

    @abc.abstractmethod
    def run(self, trial: Trial) -> Iterator[Iteration]:
        """Runs trial.count iterations, or fewer if trial.stop is set."""
