"""Shows a run while it goes on: bars on a terminal, plain lines elsewhere.

Promises: everything goes to stderr, so that the table on stdout stays clean; NO_COLOR is honoured; nothing here decides
anything.
"""

from __future__ import annotations

import sys
import threading
import time

import rich.console
import rich.progress

from repro_suite.outcomes import Iteration, Outcome, Tally
from repro_suite.plan import Job

# Often enough to see that it is alive, seldom enough for a CI log.
PLAIN_EVERY_S = 10.0


class Progress:
    """Silent; the base of the two below."""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def started(self, job: Job) -> None:
        pass

    def advanced(self, job: Job, tally: Tally, iteration: Iteration) -> None:
        pass

    def finished(self, job: Job, tally: Tally, error: str) -> None:
        pass


def for_this_terminal(jobs: int) -> Progress:
    return BarProgress(jobs) if sys.stderr.isatty() else PlainProgress(jobs)


class PlainProgress(Progress):
    def __init__(self, jobs: int):
        self._jobs = jobs
        self._finished = 0
        self._lock = threading.Lock()
        self._said_at: dict[Job, float] = {}

    def started(self, job: Job) -> None:
        self._said_at[job] = time.monotonic()
        self._say("begins: %s" % job.label)

    def advanced(self, job: Job, tally: Tally, iteration: Iteration) -> None:
        now = time.monotonic()
        if now - self._said_at[job] >= PLAIN_EVERY_S:
            self._said_at[job] = now
            self._say("%s: %s" % (job.label, summary(job, tally)))

    def finished(self, job: Job, tally: Tally, error: str) -> None:
        with self._lock:
            self._finished += 1
        self._say("done %d/%d: %s: %s" % (self._finished, self._jobs, job.label, error or summary(job, tally)))

    def _say(self, text: str) -> None:
        with self._lock:
            print(text, file=sys.stderr, flush=True)


class BarProgress(Progress):
    """A bar for each running job and one for all of them; a finished job leaves a line behind."""

    def __init__(self, jobs: int):
        self._console = rich.console.Console(stderr=True)
        self._bars = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(bar_width=20),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.fields[bad]}"),
            rich.progress.TimeElapsedColumn(),
            console=self._console,
        )
        self._all = self._bars.add_task("all", total=jobs, bad="")
        self._tasks: dict[Job, rich.progress.TaskID] = {}

    def __enter__(self) -> BarProgress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def started(self, job: Job) -> None:
        self._tasks[job] = self._bars.add_task(job.label, total=job.count, bad="")

    def advanced(self, job: Job, tally: Tally, iteration: Iteration) -> None:
        self._bars.update(self._tasks[job], completed=tally.total, bad=counts(tally))

    def finished(self, job: Job, tally: Tally, error: str) -> None:
        self._bars.remove_task(self._tasks[job])
        self._bars.console.print("%s: %s" % (job.label, error or summary(job, tally)), markup=False, highlight=False)
        self._bars.advance(self._all)


def summary(job: Job, tally: Tally) -> str:
    return "%d/%d, %s" % (tally.total, job.count, counts(tally) or "all ok")


def counts(tally: Tally) -> str:
    """The bad outcomes, as `3 lockup, 1 crash`; empty if there is none."""
    bad = [(outcome, tally.count(outcome)) for outcome in Outcome if outcome is not Outcome.OK]
    return ", ".join(outcome.counted(number) for outcome, number in bad if number)
