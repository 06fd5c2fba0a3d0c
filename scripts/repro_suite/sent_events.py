"""What victims sent to a fake service, against what arrived there."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

from repro_suite.case import Trial
from repro_suite.fakes import FakeService
from repro_suite.outcomes import Iteration, Outcome

# A consumer's flush interval is 0.2 s; a loaded machine needs more.
ARRIVES_WITHIN_S = 5.0


class SentEvents:
    """Names of events that have to arrive exactly once, each with the iteration it belongs to."""

    def __init__(self) -> None:
        self._expected: dict[str, int] = {}

    def expect(self, name: str, number: int) -> None:
        self._expected[name] = number

    def compare(self, service: FakeService, trial: Trial) -> Iterator[Iteration]:
        """A wrong iteration for each event that is lost or duplicated."""
        until = time.monotonic() + ARRIVES_WITHIN_S
        while True:
            arrived = Counter(event["name"] for event in service.get("/events")["events"])
            if time.monotonic() >= until or all(arrived[name] for name in self._expected):
                break
            time.sleep(0.1)
        for name, number in self._expected.items():
            if arrived[name] != 1:
                detail = "event %s arrived %d times" % (name, arrived[name])
                trial.log.iteration(number, "%s (%s)" % (Outcome.WRONG.value, detail))
                yield Iteration(number, Outcome.WRONG, detail)
