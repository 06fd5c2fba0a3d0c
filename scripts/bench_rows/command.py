"""The command line of scripts/bench."""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from .arms import ALWAYS, PEERS, Arm, known_arms
from .budget import excesses
from .measuring import run
from .printing import as_json, machine, print_table
from .rows import known_rows
from .symbols import not_forwarded

# Enough for 95 % intervals of 0.01 to 0.02 to either side of a ratio on a quiet machine.
ROUNDS = 61
QUICK_ROUNDS = 11


def main(root: Path) -> int:
    build = root / "build"
    program = build / "bench" / "rows"
    all_arms, all_rows = known_arms(build), known_rows(program)
    options = _parse(list(all_arms), list(all_rows))
    if not program.exists():
        sys.exit("build/bench/rows is not built: run `make bench`")

    rows = [row for row in all_rows.values() if _chosen(row.name, options.rows)]
    arms = _present(all_arms, options)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    facts = machine()
    print(
        f"{facts['libc']}, kernel {facts['kernel']}, {facts['architecture']}, "
        f"{facts['cores']} cores; {rounds} rounds, seed {options.seed}",
        flush=True,
    )

    cells = run(rows, arms, rounds, options.seed, program, _progress(rounds))
    print_table(cells, rows, arms)
    if options.json:
        text = json.dumps(as_json(cells, rows, arms, options.seed), indent=1) + "\n"
        options.json.write_text(text, encoding="utf-8")
    if options.check:
        over = list(excesses(cells, rows))
        for line in over:
            print(f"over budget: {line}")
        return 1 if over else 0
    return 1 if cells.failures else 0


def _parse(arms: list[str], rows: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="What a preload costs, beside no preload at all, in interleaved rounds.",
        epilog=f"Arms: {', '.join(arms)}. Rows: {', '.join(rows)}. Both take patterns: fork-*.",
    )
    add = parser.add_argument
    add(
        "--arms",
        type=_names(arms),
        help=f"default: {', '.join(ALWAYS)} and, without --check, {', '.join(PEERS)}",
    )
    add("--rows", type=_names(rows), help="default: all")
    add("--rounds", type=_positive, metavar="N", help=f"default: {ROUNDS}")
    add("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds: they show 10 %%, not 5 %%")
    add(
        "--seed",
        type=int,
        default=random.SystemRandom().randrange(10**6),
        help="of the order of arms and rows; default: another one each run",
    )
    add("--json", type=Path, metavar="FILE", help="write the figures to FILE as well")
    add(
        "--check",
        action="store_true",
        help="exit with 1, and one line for each row, where forkmend costs more than it may",
    )
    return parser.parse_args()


def _positive(text: str) -> int:
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


def _names(known: list[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        for pattern in text.split(","):
            if not fnmatch.filter(known, pattern):
                raise argparse.ArgumentTypeError(f"no {pattern!r} among {', '.join(known)}")
        return text.split(",")

    return names


def _chosen(name: str, patterns: Iterable[str] | None) -> bool:
    return patterns is None or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _present(arms: dict[str, Arm], options: argparse.Namespace) -> list[Arm]:
    """The arms that were asked for and can run. Says what is not as it might seem."""
    default = ALWAYS if options.check else (*ALWAYS, *PEERS)
    wanted = [arm for arm in arms.values() if _chosen(arm.name, options.arms or default)]
    for arm in wanted:
        if arm.missing:
            print(f"without {arm.name}: {arm.missing}")
    present = [arm for arm in wanted if not arm.missing]
    if not present:
        sys.exit("no arm is left")

    forwarding, forkmend = arms["forwarding"], arms["forkmend"]
    if forwarding in present and forkmend in present:
        lacking = not_forwarded(forwarding.preload, forkmend.preload)
        if lacking:
            print(f"forkmend interposes, and the forwarding preload does not: {', '.join(lacking)}")
    for name in sorted(name for name in os.environ if name.startswith("FORKMEND")):
        print(f"with {name}={os.environ[name]}")
    return present


def _progress(rounds: int) -> Callable[[int], None]:
    started = time.monotonic()

    def show(number: int) -> None:
        if sys.stderr.isatty():
            seconds = time.monotonic() - started
            text = f"\rround {number} of {rounds}, {seconds:.0f} s"
            print(text, end="\n" if number == rounds else "", file=sys.stderr, flush=True)

    return show
