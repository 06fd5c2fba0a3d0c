"""What forkmend may cost, and one line for each row that costs more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from .figures import Cells, Figure


class Budget(Protocol):
    @property
    def limit(self) -> float: ...
    @property
    def needs(self) -> tuple[str, ...]: ...
    @property
    def than(self) -> str: ...  # what the number is compared with

    def measured(self, cells: Cells, row: str) -> Figure | None: ...

    def number(self, value: float) -> str: ...


@dataclass(frozen=True)
class TimesBare:
    limit: float
    needs = ("bare", "forkmend")
    than = "times bare"

    def measured(self, cells: Cells, row: str) -> Figure | None:
        return cells.ratio(row, "forkmend", "bare")

    def number(self, value: float) -> str:
        return f"{value:.3f}"


@dataclass(frozen=True)
class OverBare:
    limit: float  # nanoseconds
    needs = ("bare", "forkmend")
    than = "over bare"

    def measured(self, cells: Cells, row: str) -> Figure | None:
        return cells.difference(row, "forkmend", "bare")

    def number(self, value: float) -> str:
        return f"{value / 1e6:+.2f} ms"


@dataclass(frozen=True)
class OverBareNs(OverBare):
    def number(self, value: float) -> str:
        return f"{value:+.2f} ns"


@dataclass(frozen=True)
class OverForwarding:
    limit: float
    needs = ("bare", "forwarding", "forkmend")
    than = "over the ratio of the forwarding preload"

    def measured(self, cells: Cells, row: str) -> Figure | None:
        return cells.ratio_over(row, "forkmend", "forwarding", "bare")

    def number(self, value: float) -> str:
        return f"{value:+.3f}"


def excesses(cells: Cells, rows: list) -> Iterator[str]:
    """The median decides. How well it is known is printed with it."""
    for row in rows:
        budget: Budget = row.budget
        failed = [arm for arm in budget.needs if (row.name, arm) in cells.failures]
        figure = budget.measured(cells, row.name)
        if failed:
            yield f"{row.name}: {failed[0]} {cells.failures[row.name, failed[0]]}"
        elif figure is None:
            yield f"{row.name}: not measured; needs the arms {', '.join(budget.needs)}"
        elif figure.median > budget.limit:
            unsure = "; not resolved, more rounds would tell" if figure.low <= budget.limit else ""
            number = budget.number
            yield (
                f"{row.name}: {number(figure.median)} {budget.than}, allowed "
                f"{number(budget.limit)} (95 %: {number(figure.low)} to {number(figure.high)}, "
                f"rounds p10 to p90: {number(figure.p10)} to {number(figure.p90)}{unsure})"
            )
