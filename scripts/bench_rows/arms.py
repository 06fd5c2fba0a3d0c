"""The arms of the comparison: what is preloaded, and where it is found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

LIBRARY_DIRECTORIES = ("/usr/local/lib", "/usr/lib/*-linux-gnu", "/usr/lib64", "/usr/lib")


@dataclass(frozen=True)
class Arm:
    name: str
    preload: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)
    missing: str = ""  # why the arm cannot run


def _built(name: str, library: Path) -> Arm:
    return Arm(name, library, missing="" if library.exists() else f"{library.name} is not built")


def _installed(name: str, pattern: str, **environment: str) -> Arm:
    for directory in LIBRARY_DIRECTORIES:
        parent = Path(directory)
        for found in sorted(Path(parent.anchor).glob(f"{parent.relative_to('/')}/{pattern}")):
            return Arm(name, found, environment)
    return Arm(name, missing=f"{pattern.rsplit('/')[-1]} is not installed")


def known_arms(build: Path) -> dict[str, Arm]:
    arms = [
        Arm("bare"),
        # The same once more: how far its ratio is from 1 is what the machine's noise does.
        Arm("bare-again"),
        _built("forwarding", build / "bench" / "libforwarding.so"),
        _built("forkmend", build / "libforkmend.so"),
        _installed("libfaketime", "faketime/libfaketime.so.1"),
        _installed("jemalloc", "libjemalloc.so.2"),
        _installed(
            "heaptrack", "heaptrack/libheaptrack_preload.so", DUMP_HEAPTRACK_OUTPUT="/dev/null"
        ),
        _installed("tcmalloc", "libtcmalloc_minimal.so.4"),
        _installed("mimalloc", "libmimalloc.so.*"),
    ]
    return {arm.name: arm for arm in arms}


ALWAYS = ("bare", "forwarding", "forkmend")
PEERS = ("libfaketime", "jemalloc", "heaptrack")
