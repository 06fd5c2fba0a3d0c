"""The rows: what is measured, and what forkmend may cost there."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from .budget import Budget, OverBare, OverBareNs, OverForwarding, TimesBare

PYTHON_ROWS = Path(__file__).resolve().parents[2] / "tests" / "bench" / "python_rows.py"


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    # For a row that times whole programs: how (spawn or exit), how often a round, and which.
    program: tuple[str, int, tuple[str, ...]] | None = None
    # For a row of a script: the command, which prints nanoseconds itself.
    script: tuple[str, ...] | None = None
    # It is told what to preload into the program that it starts, and runs without.
    script_starts_program: bool = False
    budget: Budget = OverForwarding(0.05)

    def command(self, rows: Path, preload: str) -> list[str]:
        if self.script is not None:
            return [*self.script, *([preload] if self.script_starts_program else [])]
        if self.program is None:
            return [str(rows), self.name]
        how, samples, program = self.program
        return [str(rows), how, preload, str(samples), *program]

    @property
    def preloads_itself(self) -> bool:
        """True if the preload goes into the process that is started, and not into its child."""
        return self.program is None and not self.script_starts_program


def known_rows(rows: Path) -> dict[str, Row]:
    true = shutil.which("true") or "/bin/true"
    python = shutil.which("/usr/bin/python3") or shutil.which("python3") or "python3"
    listed = [
        Row("lock-one-thread", "lock + unlock, one thread", budget=TimesBare(1.3)),
        Row("lock-two-threads", "lock + unlock, a second thread alive"),
        Row("lock-registered", "lock + unlock, a registered thread", budget=OverBareNs(3)),
        Row("cond-ping-pong", "cond ping-pong, one CPU"),
        Row("semaphore-ping-pong", "semaphore ping-pong, one CPU"),
        Row("create-join", "create + join"),
        Row("fork-alone", "fork call, no other thread"),
        Row("fork-100-threads", "fork call, 100 threads"),
        Row("fork-1000-threads", "fork call, 1,000 threads"),
        Row("fork-10000-mutexes", "fork total, 10,000 mutexes, 10 held"),
        Row("fork-registered-1000", "fork total, 10 registered threads, 1,000 mutexes"),
        Row("fork-registered-10000", "the same, 10,000 mutexes"),
        Row("fork-256-mib", "fork call, 256 MiB"),
        Row("eventfd", "eventfd + close"),
        Row("pipe", "pipe + close of both ends"),
        Row("connect", "socket, connect, accept, close of both"),
        Row("exec-pipe", "exec of a program with one pipe", ("spawn", 25, (str(rows), "piping"))),
        Row("exec-true", "exec of true", ("spawn", 25, (true,))),
        Row("exit-100-threads", "exit, 100 threads", ("exit", 9, (str(rows), "exiting", "100"))),
        Row(
            "python-pass",
            "python3 -c pass",
            ("spawn", 3, (python, "-c", "pass")),
            budget=OverBare(2e6),
        ),
        Row(
            "python-queue-put",
            "Queue.put, child, consumer alive again",
            script=(python, str(PYTHON_ROWS), "queue-put"),
            budget=TimesBare(1.05),
        ),
        Row(
            "gunicorn-request",
            "a request to gunicorn --preload",
            script=(python, str(PYTHON_ROWS), "request"),
            script_starts_program=True,
            budget=TimesBare(1.02),
        ),
        Row(
            "python-child-step",
            "os.fork to the child's first line, 50 lost threads",
            script=(python, str(PYTHON_ROWS), "child-step"),
            budget=OverBare(2e6),
        ),
    ]
    return {row.name: row for row in listed}
