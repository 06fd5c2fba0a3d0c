"""Where the suite's files are, and nothing about what is in them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SITES = ROOT / "build" / "site"
LOGS = ROOT / "build" / "repro"
DEFAULT_LIBRARY = ROOT / "build" / "libforkmend.so"
VICTIMS = Path(__file__).resolve().parent / "victims"
FAKES = ROOT / "scripts" / "fakes"


def shown(path: Path) -> str:
    """A path as a reader of the terminal wants it: relative to where he is, if it is below."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
