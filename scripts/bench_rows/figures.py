"""Medians over rounds, how far the rounds spread, and how well the median itself is known."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    median: float
    p10: float
    p90: float
    # The median lies between these with 95 % confidence, whatever the distribution: they are
    # order statistics, at 0.98 sqrt(n) ranks on either side of the middle.
    low: float
    high: float
    rounds: int

    @property
    def spread(self) -> float:
        """Half of the distance from p10 to p90."""
        return (self.p90 - self.p10) / 2

    def as_json(self) -> dict[str, float]:
        return {name: round(value, 4) for name, value in vars(self).items()}


def figure(values: list[float]) -> Figure | None:
    if not values:
        return None
    ordered = sorted(values)
    last = len(ordered) - 1
    reach = 0.98 * math.sqrt(len(ordered))
    return Figure(
        median=statistics.median(ordered),
        p10=ordered[round(0.1 * last)],
        p90=ordered[round(0.9 * last)],
        low=ordered[max(0, math.floor(last / 2 - reach))],
        high=ordered[min(last, math.ceil(last / 2 + reach))],
        rounds=len(ordered),
    )


class Cells:
    """The per-round medians, in nanoseconds, by row and arm; and why a cell stopped, if it did."""

    def __init__(self) -> None:
        self._rounds: dict[tuple[str, str], dict[int, float]] = {}
        self.failures: dict[tuple[str, str], str] = {}

    def add(self, row: str, arm: str, number: int, nanoseconds: float) -> None:
        self._rounds.setdefault((row, arm), {})[number] = nanoseconds

    def time(self, row: str, arm: str) -> Figure | None:
        return figure(list(self._rounds.get((row, arm), {}).values()))

    def ratio(self, row: str, arm: str, base: str) -> Figure | None:
        return figure([mine / its for mine, its in self._paired(row, arm, base)])

    def difference(self, row: str, arm: str, base: str) -> Figure | None:
        return figure([mine - its for mine, its in self._paired(row, arm, base)])

    def ratio_over(self, row: str, arm: str, other: str, base: str) -> Figure | None:
        """The ratio of arm to base, less that of other to base, round by round."""
        rounds = self._paired(row, arm, other, base)
        return figure([(mine - its) / bare for mine, its, bare in rounds])

    def _paired(self, row: str, *arms: str) -> list[tuple[float, ...]]:
        """The values of those rounds in which each of these arms has one."""
        columns = [self._rounds.get((row, arm), {}) for arm in arms]
        common = sorted(set(columns[0]).intersection(*columns[1:]))
        return [tuple(column[number] for column in columns) for number in common]
