"""The Python packages under test: which set goes where, and whether it is there.

Promises: one directory per package set and interpreter tag, put on a victim's path with PYTHONPATH and seen by nobody
else; a directory counts as installed only if it was completed for exactly these requirements. A set that has no wheel
for a tag is remembered as missing, with the reason. Does not install: `provision` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from repro_suite import places
from repro_suite.interpreters import Interpreter

INSTALLED_STAMP = ".installed"
MISSING_STAMP = ".missing"


@dataclass(frozen=True)
class PackageSet:
    """What is installed together, named after the package under test."""

    name: str
    version: str
    requirements: tuple[str, ...]

    @property
    def label(self) -> str:
        return "%s %s" % (self.name, self.version)

    @property
    def stamp(self) -> str:
        return "\n".join(self.requirements) + "\n"


@dataclass(frozen=True)
class Site:
    """A package set as installed for one interpreter tag."""

    packages: PackageSet
    tag: str

    @property
    def directory(self) -> Path:
        return places.SITES / self.tag / ("%s-%s" % (self.packages.name, self.packages.version))

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
