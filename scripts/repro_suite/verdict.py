"""Judges results: is it clean under the shim, and was it as expected without?

Promises: clean means that every iteration asked for ran, none was bad, stderr showed no symptom and the shim reported
no lockup where there was none. An error is never clean.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

from repro_suite.preload import Mode
from repro_suite.runner import Result


class Verdict(enum.Enum):
    CLEAN = "clean"
    NOT_CLEAN = "not clean"
    AS_EXPECTED = "reproduced"
    HEALTHY = "healthy"
    MEASURED = "measured"
    NOT_REPRODUCED = "not reproduced"
    INTERRUPTED = "interrupted"
    ERROR = "error"

    @property
    def good(self) -> bool:
        return self in (Verdict.CLEAN, Verdict.AS_EXPECTED, Verdict.HEALTHY, Verdict.MEASURED)


def judge(result: Result) -> Verdict:
    if result.error:
        return Verdict.ERROR
    if not result.complete:
        return Verdict.INTERRUPTED
    if result.job.mode is Mode.WITH:
        clean = result.tally.bad == 0 and not result.symptoms and not result.false_alarms
        return Verdict.CLEAN if clean else Verdict.NOT_CLEAN
    expectation = result.job.combination.case.expectation
    if expectation.anything:
        return Verdict.MEASURED
    if not expectation.met_by(result.tally):
        return Verdict.NOT_REPRODUCED
    return Verdict.HEALTHY if expectation.healthy else Verdict.AS_EXPECTED


def exit_status(results: Sequence[Result], interrupted: bool) -> int:
    if interrupted:
        # What a shell makes of a program that ^C ended.
        return 130
    return 0 if results and all(judge(result).good for result in results) else 1
