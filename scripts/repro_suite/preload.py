"""The two modes: an environment without the shim, and one with it.

Promises: the modes differ in nothing but the shim's own variables; anything else that the user preloads stays, in both;
a run under the shim really has it mapped, since the loader only warns when it cannot load a preload.
"""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from repro_suite.victim import VictimUnusable


class Mode(enum.Enum):
    WITHOUT = "without"
    WITH = "with"


@dataclass(frozen=True)
class Shim:
    library: Path

    def environment(self, mode: Mode, reports: Path) -> dict[str, str]:
        environment = dict(os.environ)
        preloads = [
            name for name in environment.pop("LD_PRELOAD", "").replace(":", " ").split() if not self._is_ours(name)
        ]
        if mode is Mode.WITH:
            preloads.insert(0, str(self.library))
            environment["FORKMEND_DIR"] = str(reports)
        else:
            environment = {name: value for name, value in environment.items() if not name.startswith("FORKMEND")}
        if preloads:
            environment["LD_PRELOAD"] = ":".join(preloads)
        return environment

    def check(self, mode: Mode, pid: int, said: Optional[bool] = None) -> None:
        """The victim runs under what its mode promises, or nothing it shows means anything."""
        mapped = self._is_mapped(pid) if said is None else said
        if mapped is not (mode is Mode.WITH):
            raise VictimUnusable("%s is %sloaded in the victim" % (self.library.name, "" if mapped else "not "))

    def _is_mapped(self, pid: int) -> bool:
        try:
            maps = Path("/proc/%d/maps" % pid).read_text()
        except OSError:
            maps = ""
        if not maps:
            raise VictimUnusable("the victim ended as soon as it was ready")
        return str(self.library) in maps

    def _is_ours(self, name: str) -> bool:
        return os.path.basename(name) == self.library.name
