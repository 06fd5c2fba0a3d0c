"""How long a process takes to leave, with and without the shim: `scripts/repro latency`.

Promises: the two modes take turns, so that a busy machine is busy for both; only ends with the right exit code count,
since a crash is quick. A program says when it leaves by writing CLOCK_MONOTONIC in nanoseconds as its last line; `true`
cannot, and is timed from its start.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from repro_suite import servers
from repro_suite.cases.etcd import ETCD_CLIENTS, VALKEY_GLIDE, VICTIM
from repro_suite.interpreters import Interpreter
from repro_suite.packages import site_for
from repro_suite.preload import Mode, Shim
from repro_suite.tables import new_console, new_table

# The contract: 5 %, or a tenth of a millisecond where that is more.
MOST_RATIO, MOST_MS = 1.05, 0.1
ENDS_WITHIN_S = 30
MARK = re.compile(rb"(?:^|\n)leaves (\d+)\n")
PASS = "import time; print('leaves', time.monotonic_ns(), flush=True)"
HELLO = """
#include <time.h>
#include <iostream>
int main() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  std::cout << "hello\\nleaves " << t.tv_sec * 1'000'000'000L + t.tv_nsec << std::endl;
}
"""


@dataclass(frozen=True)
class Row:
    name: str
    argv: Sequence[str]
    site: str = ""


def measure(library: Path, rounds: int, interpreter: Interpreter) -> int:
    """Prints the table; 0 if every row is within the contract."""
    shim = Shim(library)
    table = new_table("program", ">without ms", ">with ms", ">ratio", ">difference ms", ">rounds", "")
    good = True
    with contextlib.ExitStack() as stack:
        for row in _rows(stack, interpreter):
            without, with_shim = _row(shim, row, rounds)
            ratio, difference = with_shim / without, with_shim - without
            within = ratio <= MOST_RATIO or difference <= MOST_MS
            good = good and within
            figures = ("%.3f" % without, "%.3f" % with_shim, "%.3f" % ratio, "%+.3f" % difference, str(rounds))
            table.add_row(row.name, *figures, "" if within else "too slow")
    new_console().print(table)
    return 0 if good else 1


def _rows(stack: contextlib.ExitStack, interpreter: Interpreter) -> list[Row]:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="forkmend-latency-")))
    source, hello = directory / "hello.cc", directory / "hello"
    source.write_text(HELLO)
    subprocess.run(("g++", "-std=c++17", "-O2", str(source), "-o", str(hello)), check=True)
    python = str(interpreter.path)
    rows = [
        Row("true", ("/bin/true",)),
        Row("C++ hello world", (str(hello),)),
        Row("python -c pass, %s" % interpreter.label, (python, "-c", PASS)),
    ]
    addresses = ("--etcd", stack.enter_context(servers.etcd()), "--valkey", str(stack.enter_context(servers.valkey())))
    for packages in (*ETCD_CLIENTS, VALKEY_GLIDE):
        site = site_for(packages, interpreter)
        if site.is_installed():
            scenario = "idle-glide" if packages is VALKEY_GLIDE else "idle-etcd"
            argv = (python, str(VICTIM), scenario, *addresses, "--say-when")
            rows.append(Row("%s, connected and idle" % packages.label, argv, str(site.directory)))
    return rows


def _row(shim: Shim, row: Row, rounds: int) -> tuple[float, float]:
    """Medians in milliseconds."""
    taken: dict[Mode, list[float]] = {mode: [] for mode in Mode}
    with tempfile.TemporaryDirectory(prefix="forkmend-reports-") as reports:
        for number in range(rounds):
            # Each mode comes first in turn.
            for mode in (list(Mode) if number % 2 == 0 else reversed(Mode)):
                environment = shim.environment(mode, Path(reports))
                environment["PYTHONPATH"] = row.site
                milliseconds = _leave_once(row.argv, environment)
                if milliseconds is not None:
                    taken[mode].append(milliseconds)
    return statistics.median(taken[Mode.WITHOUT]), statistics.median(taken[Mode.WITH])


def _leave_once(argv: Sequence[str], environment: dict[str, str]) -> float | None:
    began = time.monotonic_ns()
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    pidfd = os.pidfd_open(process.pid)
    try:
        if not select.select([pidfd], [], [], ENDS_WITHIN_S)[0]:
            process.kill()
        ended = time.monotonic_ns()
    finally:
        os.close(pidfd)
    output = process.stdout.read()
    process.stdout.close()
    if process.wait() != 0:
        return None
    mark = MARK.search(output)
    return (ended - (int(mark[1]) if mark else began)) / 1e6
