"""Which combinations a run consists of, and what is missing for those that cannot be run.

Promises: every case × package set × interpreter asked for is in the plan, either as runnable in each mode or with the
reason why not: nothing is skipped silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from repro_suite.case import Case
from repro_suite.interpreters import Interpreter
from repro_suite.packages import PackageSet, Site, site_for
from repro_suite.preload import Mode


class NotSetUp(Exception):
    """A package set was never installed for an interpreter."""


@dataclass(frozen=True)
class Combination:
    case: Case
    packages: PackageSet
    interpreter: Interpreter

    @property
    def site(self) -> Site:
        return site_for(self.packages, self.interpreter)

    @property
    def label(self) -> str:
        python = "" if self.case.any_interpreter else ", CPython %s" % self.interpreter.label
        return "%s, %s%s" % (self.case.name, self.packages.label, python)


@dataclass(frozen=True)
class Job:
    """One combination in one mode."""

    combination: Combination
    mode: Mode
    count: int
    timeout_s: float

    @property
    def label(self) -> str:
        return "%s, %s" % (self.combination.label, self.mode.value)


@dataclass(frozen=True)
class Plan:
    combinations: list[Combination]
    jobs: list[Job]
    # Why a combination has no jobs.
    missing: dict[Combination, str]


@dataclass(frozen=True)
class Extent:
    """How much of each combination is run."""

    # None: each case's own.
    counts: dict[Mode, Optional[int]]
    timeout_s: Optional[float]
    default_timeout_s: float

    def timeout_of(self, case: Case) -> float:
        return self.timeout_s or case.default_timeout_s or self.default_timeout_s


def make_plan(cases: Sequence[Case], interpreters: Sequence[Interpreter], extent: Extent) -> Plan:
    combinations, runnable, missing = [], [], {}
    for case in cases:
        for packages in case.package_sets:
            for interpreter in interpreters:
                if not case.supports(interpreter):
                    continue
                combination = Combination(case, packages, interpreter)
                combinations.append(combination)
                reason = _missing(combination)
                if reason is None:
                    runnable.append(combination)
                else:
                    missing[combination] = reason
    # All of one mode first: "before" is complete when "after" begins.
    jobs = [
        Job(combination, mode, count or combination.case.default_count, extent.timeout_of(combination.case))
        for mode, count in extent.counts.items()
        for combination in runnable
    ]
    return Plan(combinations, jobs, missing)


def _missing(combination: Combination) -> Optional[str]:
    site = combination.site
    if site.is_installed():
        return None
    reason = site.missing_reason()
    if reason is None:
        raise NotSetUp(
            "%s is not installed for CPython %s" % (combination.packages.label, combination.interpreter.label)
        )
    return reason
