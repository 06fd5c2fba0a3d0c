"""The command line of scripts/repro.

Promises: bad arguments are one line on stderr and exit status 2; so is a library that is not there. Exit 0 only if
every combination was clean under the shim and as expected without it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, Optional

from repro_suite import analyze, latency, places, progress, servers
from repro_suite.case import Case
from repro_suite.cases import all_cases
from repro_suite.interpreters import DEBIAN_PYTHON, Interpreter, find_interpreters
from repro_suite.plan import Extent, NotSetUp, make_plan
from repro_suite.preload import Mode, Shim
from repro_suite.run_log import latest_log, run_name, timestamp
from repro_suite.runner import Runner
from repro_suite.summary import print_summary, write_json
from repro_suite.tables import new_console, new_table
from repro_suite.verdict import exit_status

BAD_USAGE = 2
# That of the published repro. A child that hangs does so for ever: 5 s show as much, if the machine is not overloaded.
DEFAULT_TIMEOUT_S = 300.0
# Children that hang cost time and no CPU, so more jobs than CPUs run side by side.
JOBS_PER_CPU = 2

# From here on a user who waits should know what for.
LONG_TIMEOUT_S = 60.0

# The preset behind `make run`: under three minutes on two CPUs.
QUICK_CASES = ("statsig", "statsig-fake")
QUICK_COUNTS = {Mode.WITHOUT: 40, Mode.WITH: 200}
# A healthy child needs 0.01 s.
QUICK_TIMEOUT_S = 3.0
QUICK_INTERPRETERS = 2

MODES = {"both": (Mode.WITHOUT, Mode.WITH), "without": (Mode.WITHOUT,), "with": (Mode.WITH,)}


class OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        fail(message)


def fail(message: str, status: int = BAD_USAGE) -> NoReturn:
    print("scripts/repro: %s" % message, file=sys.stderr)
    raise SystemExit(status)


def main(argv: Sequence[str]) -> int:
    # Whoever ends the suite, its victims go with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if argv and argv[0] == "analyze":
        return _analyze(argv[1:])
    if argv and argv[0] == "latency":
        return _latency(argv[1:])
    options = _run_parser().parse_args(argv)
    cases = _chosen_cases(options.case, options.quick)
    if options.list:
        return _list(cases)
    return _run(options, cases)


def _run_parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="scripts/repro",
        description="Runs real packages that break across fork, without forkmend and with it.",
        epilog="scripts/repro analyze [LOG] prints the init times of a log, by default of the latest."
        " scripts/repro latency compares how long processes take to leave.",
    )
    parser.add_argument("case", nargs="*", metavar="CASE", help="a case, or several by group or first part of the name (default: all; see --list)")
    parser.add_argument("--list", action="store_true", help="say what the cases are and what is expected of them")
    parser.add_argument("--quick", action="store_true", help="a small selection that takes minutes, not hours")
    parser.add_argument(
        "--count", type=_positive_int, metavar="N", help="forks or processes of each combination (default: the case's own)"
    )
    parser.add_argument(
        "--count-without",
        type=_positive_int,
        metavar="N",
        help="forks of each combination without the shim (default: as --count); each lockup there takes the timeout",
    )
    parser.add_argument(
        "--timeout",
        type=_positive_float,
        metavar="S",
        help="seconds after which a child counts as locked up and is killed (default: the case's own, else %g)"
        % DEFAULT_TIMEOUT_S,
    )
    parser.add_argument("--jobs", type=_positive_int, metavar="N", help="combinations run at the same time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    parser.add_argument("--python", metavar="3.10,debian,…", help="only these interpreters (default: all found)")
    parser.add_argument(
        "--lib",
        type=Path,
        default=Path(os.environ.get("FORKMEND_LIB", places.DEFAULT_LIBRARY)),
        metavar="FILE",
        help="the library to preload (default $FORKMEND_LIB, then build/libforkmend.so)",
    )
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--both", dest="mode", action="store_const", const="both", default="both", help="the default")
    modes.add_argument("--without", dest="mode", action="store_const", const="without", help="only without the shim")
    modes.add_argument("--with", dest="mode", action="store_const", const="with", help="only with it")
    return parser


def _positive_int(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError("%r is not a whole number above 0" % text)
    return value


def _positive_float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("%r is not a number of seconds above 0" % text)
    return value


def _chosen_cases(names: list[str], quick: bool) -> list[Case]:
    cases = all_cases()
    chosen = []
    for name in names or (QUICK_CASES if quick else [case.name for case in cases]):
        matching = [case for case in cases if case.answers_to(name)]
        if not matching:
            known = dict.fromkeys(known for case in cases for known in (*case.groups, case.name.split("/")[0]))
            fail("no case %r; there are %s; all of them: --list" % (name, ", ".join(known)))
        chosen += [case for case in matching if case not in chosen]
    return chosen


def _chosen_interpreters(wanted: Optional[str], quick: bool) -> list[Interpreter]:
    found = find_interpreters()
    if not found:
        fail("no CPython of 3.8 or later found (looked for %s and pyenv's)" % DEBIAN_PYTHON, status=1)
    if wanted is None:
        return _quick_interpreters(found) if quick else found
    chosen = []
    for name in wanted.split(","):
        matching = [interpreter for interpreter in found if interpreter.answers_to(name)]
        if not matching:
            fail("no CPython %s here; there are %s" % (name, ", ".join(interpreter.label for interpreter in found)))
        chosen += [interpreter for interpreter in matching if interpreter not in chosen]
    return chosen


def _quick_interpreters(found: list[Interpreter]) -> list[Interpreter]:
    """Debian's, and the oldest other one of those that the SDKs still support and test."""
    debian = [interpreter for interpreter in found if interpreter.is_debian]
    others = [interpreter for interpreter in found if not interpreter.is_debian]
    current = [interpreter for interpreter in others if interpreter.version >= (3, 10, 0)]
    return (debian + (current or others))[:QUICK_INTERPRETERS]


def _run(options: argparse.Namespace, cases: list[Case]) -> int:
    modes = MODES[options.mode]
    library = options.lib.resolve()
    if Mode.WITH in modes and not library.is_file():
        fail("no library at %s: run make first, or name one with --lib, or use --without" % places.shown(options.lib))
    if options.json is not None and not options.json.parent.is_dir():
        fail("cannot write %s: no such directory" % options.json)
    extent = _extent(options, modes)
    try:
        plan = make_plan(cases, _chosen_interpreters(options.python, options.quick), extent)
    except NotSetUp as missing:
        fail("%s: run scripts/setup repro first" % missing, status=1)
    longest = max((job.timeout_s for job in plan.jobs), default=0.0)
    if longest >= LONG_TIMEOUT_S and Mode.WITHOUT in modes:
        waited = "scripts/repro: a child that hangs is waited for %g s, as published; --timeout 5 is quicker"
        print(waited % longest, file=sys.stderr)
    started = timestamp()
    workers = options.jobs or JOBS_PER_CPU * (os.cpu_count() or 1)
    with progress.for_this_terminal(len(plan.jobs)) as shown:
        runner = Runner(Shim(library), run_name(started), workers, shown)
        results = runner.run(plan)
    status = exit_status(results, runner.interrupted)
    print_summary(plan, results)
    if options.json is not None:
        write_json(options.json, plan, results, started, status)
    return status


def _extent(options: argparse.Namespace, modes: Sequence[Mode]) -> Extent:
    counts = QUICK_COUNTS if options.quick else dict.fromkeys(Mode)
    return Extent(
        counts={mode: _count(options, mode) or counts[mode] for mode in modes},
        timeout_s=options.timeout,
        default_timeout_s=QUICK_TIMEOUT_S if options.quick else DEFAULT_TIMEOUT_S,
    )


def _list(cases: list[Case]) -> int:
    table = new_table("case", "what it is", "packages", "expected without the shim")
    for case in cases:
        packages = ", ".join(packages.label for packages in case.package_sets)
        table.add_row(case.name, case.title, packages, str(case.expectation))
    new_console().print(table)
    return 0


def _analyze(argv: Sequence[str]) -> int:
    parser = OneLineParser(prog="scripts/repro analyze", description="Prints the init times of a log.")
    parser.add_argument("log", nargs="?", type=Path, metavar="LOG", help="default: the latest")
    path = parser.parse_args(argv).log or latest_log()
    if path is None:
        fail("no log in %s yet" % places.shown(places.LOGS))
    if not path.is_file():
        fail("no log %s" % path)
    return analyze.analyze(path)


def _latency(argv: Sequence[str]) -> int:
    parser = OneLineParser(prog="scripts/repro latency", description="How long processes take to leave.")
    parser.add_argument("--rounds", type=_positive_int, default=101, metavar="N", help="processes of each row and mode")
    parser.add_argument("--python", default="debian", metavar="3.11", help="one interpreter (default: Debian's)")
    parser.add_argument("--lib", type=Path, default=places.DEFAULT_LIBRARY, metavar="FILE", help="as above")
    options = parser.parse_args(argv)
    library = options.lib.resolve()
    if not library.is_file():
        fail("no library at %s: run make first" % places.shown(options.lib))
    try:
        return latency.measure(library, options.rounds, _chosen_interpreters(options.python, False)[0])
    except servers.ServerMissing as missing:
        fail(str(missing), status=1)


def _count(options: argparse.Namespace, mode: Mode) -> int | None:
    if mode is Mode.WITHOUT and options.count_without:
        return options.count_without
    return options.count
