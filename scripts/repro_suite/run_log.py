"""The log of a run: one file a case, in which every line carries its time and its combination.

Promises: no two runs share a file, also if they begin in the same millisecond; lines and blocks are written whole, from
any thread; times are UTC; the init-time lines that are written here are the ones `read_init_times` reads, and no other
module knows their form.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Optional

from repro_suite import places

INIT_LINE = re.compile(
    r"^(?P<time>\S+) \[(?P<label>[^\]]+)\] fork (?P<fork>\d+): (?P<who>\w+) (?P<pid>\d+) init time (?P<ms>[\d.]+) ms$"
)
LOCKUP_LINE = re.compile(r"^\S+ \[(?P<label>[^\]]+)\] fork \d+: lockup\b")


def timestamp() -> str:
    """Sorts as text in the order of time."""
    return datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"


def run_name(started: str) -> str:
    """For file names: runs begin side by side, so the time alone does not tell them apart."""
    return "%s-%d" % (started, os.getpid())


def log_path(case: str, run: str) -> Path:
    return places.LOGS / ("repro_%s_%s.log" % (case, run))


class RunLog:
    """The file of one case in one run of the suite."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("x", encoding="utf-8")
        self._lock = threading.Lock()

    def write(self, label: str, text: str) -> None:
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        lines = text.splitlines() or [""]
        with self._lock:
            self._file.writelines("%s [%s] %s\n" % (now, label, line) for line in lines)
            self._file.flush()

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True)
class LabelledLog:
    """A run's log as one combination writes it."""

    log: RunLog
    label: str

    def write(self, text: str) -> None:
        self.log.write(self.label, text)

    def iteration(self, number: int, text: str) -> None:
        self.write("fork %d: %s" % (number, text))

    def init_time(self, number: int, who: str, pid: int, seconds: float) -> None:
        self.iteration(number, "%s %d init time %.3f ms" % (who, pid, seconds * 1000))


@dataclass(frozen=True)
class InitTime:
    label: str
    time: str
    fork: int
    who: str
    pid: int
    ms: float


def read_init_times(path: Path) -> Iterator[InitTime]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            match = INIT_LINE.match(line.rstrip("\n"))
            if match:
                yield InitTime(
                    match["label"],
                    match["time"],
                    int(match["fork"]),
                    match["who"],
                    int(match["pid"]),
                    float(match["ms"]),
                )


def read_lockups(path: Path) -> Iterator[str]:
    """The label of each lockup in the log."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            match = LOCKUP_LINE.match(line)
            if match:
                yield match["label"]


def latest_log() -> Optional[Path]:
    logs = places.LOGS.glob("repro_*.log")
    return max(logs, key=lambda path: path.stat().st_mtime_ns, default=None)
