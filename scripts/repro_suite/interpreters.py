"""Finds the CPython interpreters of this machine: Debian's and pyenv's.

Promises: real binaries, not pyenv's shims (which are shell scripts, and would be preloaded too); each once, however
many names it has; oldest version first. Leaves out what is older than 3.8 and what is not CPython.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

OLDEST_SUPPORTED = (3, 8)
DEBIAN_PYTHON = Path("/usr/bin/python3")
PROBE = "import sys; print(sys.implementation.name, '%d.%d.%d' % sys.version_info[:3])"
# A healthy interpreter answers in 0.1 s; a broken one must not hold up the set-up.
PROBE_TIMEOUT_S = 20


@dataclass(frozen=True)
class Interpreter:
    path: Path
    version: tuple[int, int, int]

    @property
    def is_debian(self) -> bool:
        return self.path == DEBIAN_PYTHON

    @property
    def version_text(self) -> str:
        return "%d.%d.%d" % self.version

    @property
    def label(self) -> str:
        return "%s (Debian)" % self.version_text if self.is_debian else self.version_text

    @property
    def tag(self) -> str:
        """Interpreters of one tag can load the same wheels."""
        return "cp%d%d" % self.version[:2]

    def answers_to(self, wanted: str) -> bool:
        """3.11, 3.11.7, `debian`, or the path."""
        if wanted == "debian":
            return self.is_debian
        return wanted == str(self.path) or re.match(re.escape(wanted) + r"(\.|$)", self.version_text) is not None


def find_interpreters() -> list[Interpreter]:
    found, seen = [], set()
    for path in _candidates():
        binary = path.resolve()
        if binary in seen or not os.access(path, os.X_OK):
            continue
        seen.add(binary)
        interpreter = _probe(path)
        if interpreter is not None:
            found.append(interpreter)
    return sorted(found, key=lambda interpreter: (interpreter.version, not interpreter.is_debian))


def _candidates() -> Iterator[Path]:
    yield DEBIAN_PYTHON
    for version in sorted(_pyenv_root().glob("versions/*")):
        yield version / "bin" / "python"
    # The driver's own, so that a machine with neither still has one.
    yield Path(getattr(sys, "_base_executable", sys.executable))


def _pyenv_root() -> Path:
    if "PYENV_ROOT" in os.environ:
        return Path(os.environ["PYENV_ROOT"])
    if shutil.which("pyenv"):
        answer = subprocess.run(["pyenv", "root"], capture_output=True, text=True, timeout=PROBE_TIMEOUT_S)
        if answer.returncode == 0:
            return Path(answer.stdout.strip())
    return Path.home() / ".pyenv"


def _probe(path: Path) -> Optional[Interpreter]:
    try:
        answer = subprocess.run(
            [str(path), "-S", "-c", PROBE], capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    name, version = answer.stdout.split()
    major, minor, micro = (int(part) for part in version.split("."))
    if name != "cpython" or (major, minor) < OLDEST_SUPPORTED:
        return None
    return Interpreter(path, (major, minor, micro))
