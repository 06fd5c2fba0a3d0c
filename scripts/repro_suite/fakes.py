"""A loopback service for the length of a combination.

Promises: it listens when `FakeService` is entered and is gone when it is left; on a port that nobody chose.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from typing import Any

from repro_suite import places

# A local request of a few kilobytes; anything near this is a hang.
ANSWER_WITHIN_S = 30


class FakeService:
    """One of the programs in scripts/fakes, each of which ends when its stdin is closed."""

    def __init__(self, name: str):
        self._argv = [sys.executable, str(places.FAKES / (name + ".py"))]
        self.url = ""

    def __enter__(self) -> FakeService:
        self._process = subprocess.Popen(
            self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self.url = json.loads(self._process.stdout.readline())["url"]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def get(self, address: str) -> Any:
        # No proxy of the user's: the service is on the loopback interface.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.url + address, timeout=ANSWER_WITHIN_S) as answer:
            return json.load(answer)
