"""The catalogue: every module in this directory contributes its `CASES`, in the order of the modules' names.

A case module imports nothing from a package under test: those are only ever loaded by victims.
"""

from __future__ import annotations

import importlib
import pkgutil

from repro_suite.case import Case


def all_cases() -> list[Case]:
    modules = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [case for name in modules for case in importlib.import_module("%s.%s" % (__name__, name)).CASES]
