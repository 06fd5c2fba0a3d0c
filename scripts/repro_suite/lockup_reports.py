"""Reads what the shim reported during a combination.

Promises: every lockup event of every process, with the process it is about. A line that is not JSON is an error of the
shim and is said as such: it is never passed over.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LockupReport:
    pid: int
    verdict: str
    report_id: str

    def __str__(self) -> str:
        return "%s %s of process %d" % (self.verdict, self.report_id, self.pid)


def read(directory: Path) -> list[LockupReport]:
    reports = []
    for path in sorted(directory.rglob("*.jsonl")):
        for line in path.read_text(errors="replace").splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                reports.append(LockupReport(0, "unreadable line in %s" % path.name, ""))
                continue
            if event.get("event") == "lockup":
                pid = event.get("process", {}).get("pid", 0)
                reports.append(LockupReport(pid, event.get("verdict", ""), event.get("id", "")))
    return reports
