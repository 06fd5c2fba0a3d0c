"""The table, for people, and the same figures as JSON, for machines. Neither names the host."""

from __future__ import annotations

import datetime
import os
import platform
import re
import sys

from .arms import Arm
from .figures import Cells, Figure
from .rows import Row

SCHEMA = "forkmend-bench/1"
LEGEND = (
    "bare: median over rounds. Other arms: median of the per-round ratios to bare, "
    "± half of p10 to p90 of these."
)


def machine() -> dict[str, str | int]:
    kernel = re.match(r"[\d.]*\d", platform.release())
    return {
        "kernel": kernel.group() if kernel else "unknown",
        "libc": os.confstr("CS_GNU_LIBC_VERSION") or "unknown",
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
    }


def time_text(nanoseconds: float) -> str:
    for unit, size in (("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.3g} ns"


def _ratio_text(figure: Figure | None) -> str:
    return f"{figure.median:.3f} ±{figure.spread:.2f}" if figure else "-"


def _columns(arms: list[Arm]) -> list[tuple[str, str, str]]:
    """The ratios to print: heading, arm, base."""
    names = [arm.name for arm in arms]
    columns = [(name, name, "bare") for name in names if name != "bare" and "bare" in names]
    if {"forwarding", "forkmend"} <= set(names):
        after = [name for name, _, _ in columns].index("forkmend") + 1
        columns.insert(after, ("forkmend / forwarding", "forkmend", "forwarding"))
    return columns


def table(cells: Cells, rows: list[Row], arms: list[Arm]) -> tuple[list[str], list[list[str]]]:
    names = [arm.name for arm in arms]
    columns = _columns(arms)
    times = ["bare"] if "bare" in names else names
    heading = ["row", *times, *(heading for heading, _, _ in columns)]
    body = []
    for row in rows:
        line = [row.title]
        for name in times:
            figure = cells.time(row.name, name)
            line.append(time_text(figure.median) if figure else "-")
        for _, arm, base in columns:
            failed = (row.name, arm) in cells.failures
            line.append("failed" if failed else _ratio_text(cells.ratio(row.name, arm, base)))
        body.append(line)
    return heading, body


def print_table(cells: Cells, rows: list[Row], arms: list[Arm]) -> None:
    heading, body = table(cells, rows, arms)
    if not (sys.stdout.isatty() and _print_rich(heading, body)):
        _print_plain(heading, body)
    print(LEGEND)
    for (row, arm), reason in sorted(cells.failures.items()):
        print(f"failed: {row}, {arm}: {reason}")


def _print_rich(heading: list[str], body: list[list[str]]) -> bool:
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        return False
    shown = Table(box=box.SIMPLE_HEAD)
    for number, title in enumerate(heading):
        shown.add_column(title, justify="right" if number else "left", overflow="fold")
    for line in body:
        shown.add_row(*(f"[red]{cell}[/]" if cell == "failed" else cell for cell in line))
    Console().print(shown)  # honours NO_COLOR
    return True


def _print_plain(heading: list[str], body: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(heading, *body)]
    for line in (heading, *body):
        first, *others = (
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths))
        )
        print("  ".join([first, *others]))


def as_json(cells: Cells, rows: list[Row], arms: list[Arm], seed: int) -> dict:
    return {
        "schema": SCHEMA,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        **machine(),
        "seed": seed,
        "rows": {
            row.name: {
                "title": row.title,
                "arms": {arm.name: _cell_as_json(cells, row.name, arm.name) for arm in arms},
            }
            for row in rows
        },
    }


def _cell_as_json(cells: Cells, row: str, arm: str) -> dict:
    figures = {"nanoseconds": cells.time(row, arm)}
    if arm != "bare":
        figures["ratio_to_bare"] = cells.ratio(row, arm, "bare")
    if arm == "forkmend":
        figures["ratio_to_forwarding"] = cells.ratio(row, arm, "forwarding")
    cell: dict = {name: figure.as_json() for name, figure in figures.items() if figure}
    if (row, arm) in cells.failures:
        cell["failed"] = cells.failures[row, arm]
    return cell
