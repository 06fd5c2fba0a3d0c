"""Runs a plan's jobs, several at a time, and collects what they came to.

Promises: a job that cannot run at all is a result with an error, not an exception; after an interruption every victim
is gone and what was measured so far is kept.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from repro_suite import lockup_reports, places
from repro_suite.case import Trial
from repro_suite.lockup_reports import LockupReport
from repro_suite.outcomes import Tally
from repro_suite.plan import Job, Plan
from repro_suite.preload import Shim
from repro_suite.progress import Progress
from repro_suite.run_log import LabelledLog, RunLog, log_path
from repro_suite.symptoms import SymptomWatch
from repro_suite.victim import Victim, VictimUnusable


@dataclass
class Result:
    """What one job came to."""

    job: Job
    log: Path
    tally: Tally = field(default_factory=Tally)
    symptoms: Counter = field(default_factory=Counter)
    known_symptoms: Counter = field(default_factory=Counter)
    init_seconds: list[float] = field(default_factory=list)
    false_alarms: list[LockupReport] = field(default_factory=list)
    true_alarms: list[LockupReport] = field(default_factory=list)
    error: str = ""

    @property
    def complete(self) -> bool:
        return self.tally.total >= self.job.count


class Runner:
    def __init__(self, shim: Shim, run_name: str, workers: int, progress: Progress):
        self._shim = shim
        self._run_name = run_name
        self._workers = workers
        self._progress = progress
        self._stop = threading.Event()
        self._logs: dict[str, RunLog] = {}

    def run(self, plan: Plan) -> list[Result]:
        """One result a job, in the plan's order; fewer if the user interrupts."""
        names = {job.combination.case.name for job in plan.jobs}
        self._logs = {name: RunLog(log_path(name.replace("/", "-"), self._run_name)) for name in names}
        pool = concurrent.futures.ThreadPoolExecutor(max_workers=self._workers)
        futures = [pool.submit(self._run_job, job, number) for number, job in enumerate(plan.jobs, 1)]
        try:
            concurrent.futures.wait(futures)
        except KeyboardInterrupt:
            self._stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            Victim.kill_all()
        pool.shutdown()
        for log in self._logs.values():
            log.close()
        return [future.result() for future in futures if not future.cancelled()]

    @property
    def interrupted(self) -> bool:
        return self._stop.is_set()

    def _run_job(self, job: Job, number: int) -> Result:
        case = job.combination.case
        log = self._logs[case.name]
        result = Result(job, log.path)
        labelled = LabelledLog(log, job.label)
        symptoms = SymptomWatch(case.known_symptoms)
        reports = places.LOGS / "reports" / self._run_name / str(number)
        reports.mkdir(parents=True)
        labelled.write("begins: %d iterations, timeout %g s" % (job.count, job.timeout_s))
        trial = Trial(
            packages=job.combination.packages,
            interpreter=job.combination.interpreter,
            site=job.combination.site.directory,
            count=job.count,
            timeout_s=job.timeout_s,
            environment=self._environment(job, reports),
            log=labelled,
            symptoms=symptoms,
            stop=self._stop,
            check_preload=lambda pid, said=None: self._shim.check(job.mode, pid, said),
            record_init=result.init_seconds.append,
        )
        self._progress.started(job)
        try:
            for iteration in case.run(trial):
                result.tally.record(iteration)
                self._progress.advanced(job, result.tally, iteration)
        except VictimUnusable as error:
            result.error = str(error)
            labelled.write("error: %s" % error)
        symptoms.finish()
        result.symptoms, result.known_symptoms = symptoms.found, symptoms.known
        self._sort_reports(result, lockup_reports.read(reports), labelled)
        if any(reports.iterdir()):
            labelled.write("what the shim wrote: %s" % places.shown(reports))
        else:
            reports.rmdir()
        self._progress.finished(job, result.tally, result.error)
        return result

    def _environment(self, job: Job, reports: Path) -> dict[str, str]:
        environment = self._shim.environment(job.mode, reports)
        environment["PYTHONPATH"] = str(job.combination.site.directory)
        environment["PYTHONNOUSERSITE"] = "1"
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        return environment

    def _sort_reports(self, result: Result, reports: list[LockupReport], log: LabelledLog) -> None:
        """A report about a process that did not hang is a false alarm."""
        locked_up = set(result.tally.locked_up_pids())
        for report in reports:
            true = report.pid in locked_up
            (result.true_alarms if true else result.false_alarms).append(report)
            log.write("the shim reported %s: %s" % ("a lockup" if true else "a FALSE ALARM", report))
