"""What one iteration can come to, and the account of a combination's iterations.

Promises: each iteration is counted once, under its number; a bad outcome that is found later (an event that never
arrived, a crash at exit) replaces a good one, and never the other way round.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class Outcome(enum.Enum):
    OK = "ok"
    LOCKUP = "lockup"
    CRASH = "crash"
    WRONG = "wrong"

    def counted(self, number: int) -> str:
        noun = {Outcome.LOCKUP: "lockups", Outcome.CRASH: "crashes"}.get(self) if number != 1 else None
        return "%d %s" % (number, noun or self.value)


@dataclass(frozen=True)
class Iteration:
    number: int
    outcome: Outcome
    detail: str = ""
    pid: int = 0


@dataclass
class Tally:
    """The iterations of one combination, by number."""

    iterations: dict[int, Iteration] = field(default_factory=dict)

    def record(self, iteration: Iteration) -> None:
        known = self.iterations.get(iteration.number)
        if known is None or known.outcome is Outcome.OK:
            self.iterations[iteration.number] = iteration

    @property
    def total(self) -> int:
        return len(self.iterations)

    @property
    def bad(self) -> int:
        return self.total - self.count(Outcome.OK)

    @property
    def bad_rate(self) -> float:
        return self.bad / self.total if self.total else 0.0

    def count(self, outcome: Outcome) -> int:
        return sum(1 for iteration in self.iterations.values() if iteration.outcome is outcome)

    def locked_up_pids(self) -> list[int]:
        return [iteration.pid for iteration in self.iterations.values() if iteration.outcome is Outcome.LOCKUP]
