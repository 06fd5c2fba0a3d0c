"""The packages under test, wheels and programs compiled against libraries: which set goes where, and whether it is there.

Promises: one directory per package set and interpreter tag, put on a victim's path with PYTHONPATH and seen by nobody
else; a directory counts as installed only if it was completed for exactly these requirements. A set that has no wheel
for a tag is remembered as missing, with the reason. Does not install: `provision` does.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from repro_suite import places
from repro_suite.interpreters import Interpreter

INSTALLED_STAMP = ".installed"
MISSING_STAMP = ".missing"


@dataclass(frozen=True)
class Program:
    """A victim or a helper in a compiled language, built into the site; {source}, {out} and {site} stand for paths."""

    name: str
    source: Path
    command: tuple[str, ...]
    # Further files that the build reads.
    headers: tuple[Path, ...] = ()

    @property
    def stamp(self) -> str:
        text = "".join(path.read_text() for path in (self.source, *self.headers)) + " ".join(self.command)
        return "%s %s" % (self.name, hashlib.sha256(text.encode()).hexdigest())


@dataclass(frozen=True)
class PackageSet:
    """What is installed together, named after the package under test."""

    name: str
    version: str
    requirements: tuple[str, ...]
    programs: tuple[Program, ...] = ()

    @property
    def label(self) -> str:
        return "%s %s" % (self.name, self.version)

    @property
    def file_name(self) -> str:
        return re.sub(r"[^A-Za-z0-9.+_-]+", "-", "%s-%s" % (self.name, self.version)).rstrip("-")

    @property
    def stamp(self) -> str:
        return "\n".join((*self.requirements, *(program.stamp for program in self.programs))) + "\n"


@dataclass(frozen=True)
class Site:
    """A package set as installed for one interpreter tag."""

    packages: PackageSet
    tag: str

    @property
    def directory(self) -> Path:
        return places.SITES / self.tag / self.packages.file_name

    def is_installed(self) -> bool:
        return _read(self.directory / INSTALLED_STAMP) == self.packages.stamp

    def missing_reason(self) -> Optional[str]:
        """Why the set cannot be had for this interpreter; None if it can, or if nobody tried yet."""
        text = _read(self.directory / MISSING_STAMP)
        if text is None or not text.startswith(self.packages.stamp):
            return None
        return text[len(self.packages.stamp) :].strip()


def site_for(packages: PackageSet, interpreter: Interpreter) -> Site:
    return Site(packages, interpreter.tag)


def _read(path: Path) -> Optional[str]:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
