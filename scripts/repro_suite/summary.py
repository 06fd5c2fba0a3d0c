"""The end of a run: the table of before and after, what lies behind its numbers, and the same as JSON."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any, Optional, Union

import rich.console
from rich.text import Text

from repro_suite import places
from repro_suite.analyze import percentile
from repro_suite.outcomes import Outcome
from repro_suite.plan import Combination, Plan
from repro_suite.preload import Mode
from repro_suite.progress import counts
from repro_suite.runner import Result
from repro_suite.tables import new_console, new_table
from repro_suite.verdict import Verdict, judge

JSON_SCHEMA = 1
DETAILS_SHOWN = 3


def print_summary(plan: Plan, results: list[Result]) -> None:
    console = new_console()
    _print_table(console, plan, results)
    _print_problems(console, results)
    for path in sorted({result.log for result in results}):
        console.print("log: %s" % places.shown(path), highlight=False)


def _print_table(console: rich.console.Console, plan: Plan, results: list[Result]) -> None:
    modes = list(dict.fromkeys(job.mode for job in plan.jobs)) or list(Mode)
    headings = {Mode.WITHOUT: "without forkmend", Mode.WITH: "with forkmend"}
    table = new_table("case", "package", "CPython", *(headings[mode] for mode in modes), ">init p50/p99 ms", "verdict")
    by_job = {(result.job.combination, result.job.mode): result for result in results}
    for combination in plan.combinations:
        found = [by_job.get((combination, mode)) for mode in modes]
        row: list[Union[str, Text]] = [combination.case.name, combination.packages.label, _python(combination)]
        if combination in plan.missing:
            row += ["–"] * len(modes) + ["", Text("missing: " + plan.missing[combination], style="yellow")]
        else:
            row += [_cell(result) for result in found] + [_init_times(found[-1]), _verdicts(found)]
        table.add_row(*row)
    console.print(table)


def _python(combination: Combination) -> str:
    return "" if combination.case.any_interpreter else combination.interpreter.label


def _cell(result: Optional[Result]) -> Text:
    if result is None:
        return Text("not run", style="yellow")
    tally = result.tally
    text = "%d/%d bad" % (tally.bad, tally.total)
    if tally.bad:
        text += " (%.0f %%): %s" % (100 * tally.bad_rate, counts(tally))
    if result.symptoms:
        text += "; stderr: " + _counter(result.symptoms)
    if result.false_alarms:
        text += "; %d false alarm(s)" % len(result.false_alarms)
    return Text(text, style="green" if judge(result).good and not tally.bad else "red")


def _init_times(result: Optional[Result]) -> str:
    if result is None or not result.init_seconds:
        return ""
    return "%.1f/%.1f" % tuple(1000 * percentile(result.init_seconds, percent) for percent in (50, 99))


def _verdicts(results: list[Optional[Result]]) -> Text:
    verdicts = [judge(result) for result in results if result is not None]
    good = bool(verdicts) and all(verdict.good for verdict in verdicts)
    return Text(", ".join(verdict.value for verdict in verdicts) or "not run", style="green" if good else "bold red")


def _print_problems(console: rich.console.Console, results: list[Result]) -> None:
    """What a reader needs beside the numbers: expectations not met, errors, and findings under the shim."""
    for result in results:
        verdict = judge(result)
        lines = []
        if result.error:
            lines.append("error: " + result.error)
        elif verdict is Verdict.INTERRUPTED:
            lines.append("interrupted after %d of %d" % (result.tally.total, result.job.count))
        if verdict is Verdict.NOT_REPRODUCED:
            lines.append("not reproduced; expected without the shim: %s" % result.job.combination.case.expectation)
        if result.job.mode is Mode.WITH:
            bad = [i for i in result.tally.iterations.values() if i.outcome is not Outcome.OK]
            lines += _first(["fork %d: %s (%s)" % (i.number, i.outcome.value, i.detail) for i in bad])
            lines += _first(["false alarm: %s" % report for report in result.false_alarms])
        lines += ["%d × %s" % (number, reason) for reason, number in result.known_symptoms.items()]
        for line in lines:
            console.print("%s: %s" % (result.job.label, line), markup=False, highlight=False, soft_wrap=True)


def _first(lines: list[str]) -> list[str]:
    more = len(lines) - DETAILS_SHOWN
    return lines[:DETAILS_SHOWN] + (["and %d more, in the log" % more] if more > 0 else [])


def write_json(path: Path, plan: Plan, results: list[Result], started: str, status: int) -> None:
    document = {
        "schema": JSON_SCHEMA,
        "started": started,
        "exit": status,
        "machine": {
            "system": platform.system(),
            "kernel": platform.release(),
            "architecture": platform.machine(),
            "libc": " ".join(platform.libc_ver()),
            "cpus": os.cpu_count(),
        },
        "results": [_result_json(result) for result in results],
        "missing": [
            {**_combination_json(combination), "reason": reason} for combination, reason in plan.missing.items()
        ],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")


def _combination_json(combination: Combination) -> dict[str, Any]:
    return {
        "case": combination.case.name,
        "package": combination.packages.name,
        "version": combination.packages.version,
        "requirements": list(combination.packages.requirements),
        "python": combination.interpreter.version_text,
        "debian": combination.interpreter.is_debian,
    }


def _result_json(result: Result) -> dict[str, Any]:
    tally = result.tally
    document = {
        **_combination_json(result.job.combination),
        "mode": result.job.mode.value,
        "timeout_s": result.job.timeout_s,
        "asked": result.job.count,
        "total": tally.total,
        "bad": tally.bad,
        "outcomes": {outcome.value: tally.count(outcome) for outcome in Outcome},
        "symptoms": dict(result.symptoms),
        "known_symptoms": dict(result.known_symptoms),
        "false_alarms": len(result.false_alarms),
        "true_alarms": len(result.true_alarms),
        "expected_without": str(result.job.combination.case.expectation),
        "verdict": judge(result).value,
        "error": result.error,
        "log": result.log.name,
    }
    if result.init_seconds:
        document["init_ms"] = {
            "count": len(result.init_seconds),
            "median": round(1000 * percentile(result.init_seconds, 50), 3),
            "p99": round(1000 * percentile(result.init_seconds, 99), 3),
            "max": round(1000 * max(result.init_seconds), 3),
        }
    return document


def _counter(counter: dict[str, int]) -> str:
    return ", ".join("%d %s" % (number, name) for name, number in counter.items())
