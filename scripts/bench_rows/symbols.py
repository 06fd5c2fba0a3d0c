"""The forwarding preload is a floor only while it interposes all that forkmend does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def not_forwarded(forwarding: Path | None, forkmend: Path | None) -> list[str]:
    """Symbols that forkmend interposes and the forwarding preload does not; none without nm."""
    if not (shutil.which("nm") and forwarding and forkmend and forwarding.exists() and forkmend.exists()):
        return []
    return sorted(_interposed(forkmend) - _interposed(forwarding))


def _interposed(library: Path) -> set[str]:
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", str(library)], capture_output=True, text=True, check=False
    )
    symbols = {line.split()[-1].partition("@")[0] for line in listing.stdout.splitlines()}
    return {symbol for symbol in symbols if not symbol.lower().startswith("forkmend")}
