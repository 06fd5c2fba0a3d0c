"""Recognises, in what a victim prints to stderr, that something broke which no exit code shows.

Promises: a Python traceback, a Rust panic, a fatal error of CPython or an abort message of libc or libstdc++ each count
once. What a package is known to print without any fork is counted apart. Warnings are left alone.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Optional

RUST_PANIC = re.compile(r"thread '.*' (\(\d+\) )?panicked at")
SYMPTOMS = (
    ("traceback", re.compile(r"^\s*Traceback \(most recent call last\)")),
    ("panic", RUST_PANIC),
    ("worker timeout", re.compile(r"WORKER TIMEOUT|HARAKIRI")),
    ("fatal Python error", re.compile(r"^Fatal Python error:")),
    ("C++ terminate", re.compile(r"^terminate called ")),
    (
        "libc abort",
        re.compile(r"^(free\(\)|malloc\(\)|realloc\(\)|double free|corrupted |\*\*\* .* \*\*\*: terminated)"),
    ),
)


@dataclass(frozen=True)
class KnownSymptom:
    """A panic whose message matches, and why it is no finding."""

    message: re.Pattern
    reason: str


class SymptomWatch:
    """Reads stderr line by line."""

    def __init__(self, known: tuple[KnownSymptom, ...]):
        self._known = known
        self._panic_open = False
        self.found: Counter = Counter()
        self.known: Counter = Counter()

    def feed(self, line: str) -> None:
        if self._panic_open and not RUST_PANIC.search(line):
            # A panic's message is on the line after its place.
            self._close_panic(line)
            return
        name = next((name for name, pattern in SYMPTOMS if pattern.search(line)), None)
        if name == "panic":
            self.finish()
            self._panic_open = True
        elif name is not None:
            self.found[name] += 1

    def finish(self) -> None:
        """A panic whose message never came is one all the same."""
        if self._panic_open:
            self._close_panic("")

    def _close_panic(self, message: str) -> None:
        self._panic_open = False
        symptom = self._recognise(message)
        if symptom is None:
            self.found["panic"] += 1
        else:
            self.known[symptom.reason] += 1

    def _recognise(self, message: str) -> Optional[KnownSymptom]:
        return next((symptom for symptom in self._known if symptom.message.search(message)), None)
