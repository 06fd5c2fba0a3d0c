"""`scripts/repro analyze`: the init times of a log.

Promises: count, median, p99, maximum and lockups of each combination and of all, and the slowest initialisations with
enough to find them in the log. A lockup has no init time and is counted beside them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from repro_suite import places, run_log
from repro_suite.run_log import InitTime
from repro_suite.tables import new_console, new_table

SLOWEST_SHOWN = 10


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank: a value that was measured, not one between two."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def analyze(path: Path) -> int:
    times = list(run_log.read_init_times(path))
    lockups = Counter(run_log.read_lockups(path))
    console = new_console()
    console.print("Init times in %s" % places.shown(path), highlight=False)
    if not times:
        console.print("none: no process got as far as initialising its client", highlight=False)
        return 1
    console.print(_by_label(times, lockups))
    console.print(_slowest(times))
    return 0


def _by_label(times: list[InitTime], lockups: Counter) -> Table:
    by_label: dict[str, list[float]] = {}
    for time in times:
        by_label.setdefault(time.label, []).append(time.ms)
    table = new_table("combination", ">count", ">median ms", ">p99 ms", ">max ms", ">lockups")
    for label, values in sorted(by_label.items()):
        _row(table, label, values, lockups[label])
    if len(by_label) > 1:
        table.add_section()
        _row(table, "all", [time.ms for time in times], sum(lockups.values()))
    return table


def _row(table: Table, label: str, values: list[float], lockups: int) -> None:
    figures = (percentile(values, 50), percentile(values, 99), max(values))
    table.add_row(label, str(len(values)), *("%.2f" % figure for figure in figures), str(lockups))


def _slowest(times: list[InitTime]) -> Table:
    table = new_table(">slowest, ms", "time", "combination", ">fork", "process", ">pid")
    for time in sorted(times, key=lambda time: -time.ms)[:SLOWEST_SHOWN]:
        table.add_row("%.2f" % time.ms, time.time, time.label, str(time.fork), time.who, str(time.pid))
    return table
