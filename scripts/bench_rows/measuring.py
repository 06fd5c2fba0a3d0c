"""Runs every row under every arm, round after round, each round in an order of its own."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .arms import Arm
from .figures import Cells
from .rows import Row

# The slowest row takes 0.3 s; a preload that hangs must not take the benchmark with it.
TIMEOUT_SECONDS = 20


class Failed(Exception):
    pass


def environment_for(arm: Arm) -> dict[str, str]:
    """Small and the same everywhere: its size is part of what exec costs."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    settings = {name: value for name, value in os.environ.items() if name.startswith("FORKMEND")}
    # The Python rows' consumers belong to a runtime; nothing else is of that name.
    profiles = {"FORKMEND_PROFILES": "+python:bench_consumers"}
    return kept | {"LC_ALL": "C"} | profiles | settings | arm.environment


def measure(row: Row, arm: Arm, rows: Path) -> float:
    """One round of one cell, in nanoseconds."""
    preload = str(arm.preload or "")
    environment = environment_for(arm)
    if preload and row.preloads_itself:
        environment["LD_PRELOAD"] = preload
    process = subprocess.Popen(
        row.command(rows, preload),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, complaints = process.communicate(timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise Failed(f"did not end within {TIMEOUT_SECONDS} s") from None
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    # Without paths: what failed goes into the JSON, which names no machine.
    last_line = (complaints.strip().splitlines() or ["no message"])[-1]
    last_line = re.sub(r"/\S*/", "", last_line)
    if process.returncode:
        raise Failed(f"ended with status {process.returncode}: {last_line}")
    if "ld.so: object" in complaints:
        raise Failed(f"was not preloaded: {last_line}")
    return float(output)


def run(
    rows: list[Row],
    arms: list[Arm],
    rounds: int,
    seed: int,
    program: Path,
    progress: Callable[[int], None],
) -> Cells:
    """Round 0 warms the caches and is dropped. Ends early, with what there is, at Ctrl-C."""
    cells = Cells()
    chance = random.Random(seed)
    cpus = sorted(os.sched_getaffinity(0))
    try:
        for number in range(rounds + 1):
            progress(number)
            for row in chance.sample(rows, len(rows)):
                # One CPU for the row, inherited by what it starts: the scheduler's choices between
                # CPUs are the larger part of the noise. Another one each round: neighbours differ.
                os.sched_setaffinity(0, {chance.choice(cpus)})
                for arm in chance.sample(arms, len(arms)):
                    if (row.name, arm.name) not in cells.failures:
                        _measure_into(cells, row, arm, program, number)
    except KeyboardInterrupt:
        print(f"interrupted in round {number} of {rounds}", file=sys.stderr)
    finally:
        os.sched_setaffinity(0, cpus)
    return cells


def _measure_into(cells: Cells, row: Row, arm: Arm, program: Path, number: int) -> None:
    try:
        nanoseconds = measure(row, arm, program)
    except Failed as failure:
        cells.failures[row.name, arm.name] = str(failure)
    else:
        if number > 0:
            cells.add(row.name, arm.name, number, nanoseconds)
