"""Lets an interpreter run the package by its directory, from wherever the user is."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from repro_suite.cli import main  # noqa: E402  (the package is importable only now)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
