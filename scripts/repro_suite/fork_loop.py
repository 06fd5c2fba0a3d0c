"""Runs a victim that forks in a loop, and says what each fork came to.

The victim's events (victims/statsig_loop.py): `ready` once; for each fork `forking`, `forked` with the child's id,
`exited` with its status; `waiting` when it only waits for children; `init` with the seconds an initialisation took;
`failed` for a step with a wrong result; `done` at the end. Events it does not know go to the case.

Promises: a child older than the timeout is dumped and killed, and the forking goes on; a main process that is silent
for as long is dumped and killed as well, counts as one lockup, and a new victim does the forks that remain. Every
fork that was begun is counted once; forks that were only in flight while the main process died are done again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Callable, Optional

import psutil

from repro_suite.case import Trial
from repro_suite.outcomes import Iteration, Outcome
from repro_suite.victim import Event, Silence, Victim, VictimUnusable, describe_status

STARTS_WITHIN_S = 60.0
# From the number of the first fork and how many, to the command line.
ArgvFor = Callable[[int, int], Sequence[str]]


@dataclass
class Child:
    """A fork in flight."""

    number: int
    pid: int
    deadline: float
    locked_up: bool = False


class ForkLoop:
    def __init__(self, trial: Trial, argv_for: ArgvFor, on_event: Callable[[Event], None] = lambda event: None):
        self._trial = trial
        self._argv_for = argv_for
        self._on_event = on_event

    def run(self) -> Iterator[Iteration]:
        counted: set[int] = set()
        first = 1
        while len(counted) < self._trial.count and not self._trial.stop.is_set():
            forks = range(first, first + self._trial.count - len(counted))
            session = ForkSession(self._trial, self._argv_for(forks.start, len(forks)), forks, self._on_event)
            for iteration in session.run():
                counted.add(iteration.number)
                yield iteration
            first = session.last_number + 1


class ForkSession:
    """One life of the victim's main process."""

    def __init__(self, trial: Trial, argv: Sequence[str], forks: range, on_event: Callable[[Event], None]):
        self._trial = trial
        self._log = trial.log
        self._on_event = on_event
        self._victim = Victim(argv, trial.environment, trial.log, trial.symptoms)
        self._children: dict[int, Child] = {}
        # The fork under way or last begun; what happens before the first one of this life is put down to that one.
        self.last_number = forks.start
        self._last_asked = forks[-1]
        self._ready = False
        self._done = False
        self._waiting = False
        self._failure: Optional[str] = None
        self._doing = "starting"
        self._quiet_since = time.monotonic()
        self._handlers: dict[str, Callable[[Event], Optional[Iteration]]] = {
            "ready": self._on_ready,
            "init": self._on_init,
            "forking": self._on_forking,
            "forked": self._on_forked,
            "waiting": self._on_waiting,
            "exited": self._on_exited,
            "failed": self._on_failed,
            "done": self._on_done,
        }

    def run(self) -> Iterator[Iteration]:
        try:
            while True:
                event = self._victim.next_event(self._deadline())
                if event is Silence.ENDED:
                    break
                if event is not Silence.DEADLINE:
                    yield from self._handle(event)
                    continue
                self._dump_and_kill_overdue()
                if self._main_is_overdue():
                    yield self._main_locked_up()
                    return
        finally:
            status = self._victim.close()
        yield from self._ended(status)

    def _deadline(self) -> float:
        waits_for = [child.deadline for child in self._children.values() if not child.locked_up]
        if not self._waits_for_live_children():
            waits_for.append(self._quiet_since + self._patience())
        return min(waits_for)

    def _waits_for_live_children(self) -> bool:
        return self._waiting and any(not child.locked_up for child in self._children.values())

    def _patience(self) -> float:
        """For the main process; a large package takes seconds to import, which is no lockup."""
        return self._trial.timeout_s if self._ready else max(self._trial.timeout_s, STARTS_WITHIN_S)

    def _main_is_overdue(self) -> bool:
        silent_for = time.monotonic() - self._quiet_since
        return not self._waits_for_live_children() and silent_for >= self._patience()

    def _handle(self, event: Event) -> Iterator[Iteration]:
        if event["pid"] == self._victim.pid:
            self._quiet_since = time.monotonic()
            self._waiting = False
        handler = self._handlers.get(event["event"])
        if handler is None:
            self._on_event(event)
            return
        iteration = handler(event)
        if iteration is not None:
            yield iteration

    def _on_ready(self, event: Event) -> None:
        # A short-lived victim says itself what it runs under: it may be gone when its event is read.
        self._trial.check_preload(self._victim.pid, event.get("preloaded"))
        self._ready = True
        self._doing = "between forks"

    def _on_init(self, event: Event) -> None:
        self._trial.record_init(event["seconds"])
        self._log.init_time(event["fork"], event["who"], event["pid"], event["seconds"])

    def _on_forking(self, event: Event) -> None:
        self.last_number = event["fork"]
        self._doing = "in fork() and its hooks"

    def _on_forked(self, event: Event) -> None:
        deadline = time.monotonic() + self._trial.timeout_s
        self._children[event["child"]] = Child(event["fork"], event["child"], deadline)
        self._doing = "after a fork"

    def _on_waiting(self, event: Event) -> None:
        self._waiting = True
        self._doing = "waiting for children"

    def _on_exited(self, event: Event) -> Iteration:
        self._waiting = True
        child = self._children.pop(event["child"])
        status = event["status"]
        if child.locked_up:
            outcome, detail = Outcome.LOCKUP, "child %d hung for %g s" % (child.pid, self._trial.timeout_s)
        elif status < 0:
            outcome, detail = Outcome.CRASH, "child %d: %s" % (child.pid, describe_status(status))
        elif status > 0:
            outcome, detail = Outcome.WRONG, "child %d: %s" % (child.pid, describe_status(status))
        else:
            outcome, detail = Outcome.OK, "child %d exited" % child.pid
        return self._iteration(child.number, outcome, detail, child.pid)

    def _on_failed(self, event: Event) -> None:
        self._log.iteration(self.last_number, "%s %d failed: %s" % (event["who"], event["pid"], event["detail"]))
        if event["pid"] == self._victim.pid:
            self._failure = str(event["detail"])

    def _on_done(self, event: Event) -> None:
        self._done = True
        self._doing = "exiting"

    def _dump_and_kill_overdue(self) -> None:
        now = time.monotonic()
        for child in self._children.values():
            if child.locked_up or child.deadline > now:
                continue
            child.locked_up = True
            process = self._victim.find(child.pid)
            if process is None:
                # It ended just now; that it took this long still counts.
                continue
            self._log.iteration(child.number, "child %d is overdue; its stacks:" % child.pid)
            self._log.write(self._victim.dump(process))
            try:
                process.kill()
            except psutil.NoSuchProcess:
                # It ended of its own; that it took this long still counts.
                pass
            self._quiet_since = now

    def _main_locked_up(self) -> Iteration:
        process = self._victim.find(self._victim.pid)
        if process is not None:
            self._log.write("main process %d is overdue, %s; its stacks:" % (self._victim.pid, self._doing))
            self._log.write(self._victim.dump(process))
        if not self._ready:
            raise VictimUnusable("the victim did not get ready within %g s" % self._patience())
        return self._main_iteration(Outcome.LOCKUP, "main process hung %s" % self._doing)

    def _ended(self, status: int) -> Iterator[Iteration]:
        """What is to be said when the main process is gone without having hung."""
        if self._trial.stop.is_set():
            return
        if not self._ready:
            said = " | ".join(self._victim.last_stderr) or "nothing on stderr"
            raise VictimUnusable("the victim ended before its first fork (%s): %s" % (describe_status(status), said))
        if self._failure is not None:
            yield self._main_iteration(Outcome.WRONG, "main process: %s" % self._failure)
        elif status != 0:
            outcome = Outcome.CRASH if status < 0 else Outcome.WRONG
            detail = "main process ended %s: %s" % (self._doing, describe_status(status))
            yield self._main_iteration(outcome, detail)
        elif not self._done or self.last_number != self._last_asked:
            yield self._main_iteration(Outcome.WRONG, "main process ended early, with exit code 0")

    def _main_iteration(self, outcome: Outcome, detail: str) -> Iteration:
        """The fork that the main process did not outlive."""
        return self._iteration(self.last_number, outcome, detail, self._victim.pid)

    def _iteration(self, number: int, outcome: Outcome, detail: str, pid: int) -> Iteration:
        self._log.iteration(number, "%s (%s)" % (outcome.value, detail))
        return Iteration(number, outcome, detail, pid)
