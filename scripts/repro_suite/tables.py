"""How the suite's tables look: wide enough for a file, fitted to a terminal, coloured only where that is wanted."""

from __future__ import annotations

import sys

import rich.box
import rich.console
from rich.table import Table

# Where there is no terminal to fit: no line of a table is folded in a CI log.
FILE_WIDTH = 160


def new_console() -> rich.console.Console:
    """Writes to stdout. NO_COLOR is honoured by rich itself."""
    return rich.console.Console(width=None if sys.stdout.isatty() else FILE_WIDTH)


def new_table(*headings: str) -> Table:
    """Headings that begin with `>` are of numbers, to the right."""
    table = Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        right = heading.startswith(">")
        table.add_column(heading.lstrip(">"), justify="right" if right else "left", no_wrap=right)
    return table
