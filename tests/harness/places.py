"""Where things are, and nothing about what is in them."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
LIBRARY = BUILD / "libforkmend.so"
COMMAND = BUILD / "forkmend"
PROGRAMS = BUILD / "tests"
UNIT = BUILD / "unit"
PRELOAD = ROOT / "tests" / "preload"
SITES = BUILD / "site"
JEMALLOC = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"
