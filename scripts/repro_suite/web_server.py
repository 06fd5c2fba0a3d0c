"""A web server as a victim: started on a free port, asked, stopped.

Promises: it answers when `Server` is entered; a request has a deadline; `stop` says how long the end took, and leaving ends
whatever is left.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any, Optional

from repro_suite.case import Trial
from repro_suite.victim import Silence, Victim, VictimUnusable

# Imports of a large SDK on a loaded machine.
READY_WITHIN_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, trial: Trial, argv: Sequence[str], port: int, environment: dict[str, str]):
        self._trial = trial
        self._argv = argv
        self._port = port
        self._environment = {**trial.environment, **environment}
        # No proxy of the user's: the server is on the loopback interface.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def __enter__(self) -> Server:
        self._victim = Victim(self._argv, self._environment, self._trial.log, self._trial.symptoms)
        try:
            self._wait_until_it_listens()
            self._trial.check_preload(self._victim.pid)
        except BaseException:
            self._victim.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._victim.close()

    def get(self, path: str, within_s: float) -> tuple[Optional[dict[str, Any]], float]:
        """The answer, or None if there was none in time; and how long it took."""
        began = time.monotonic()
        try:
            with self._opener.open("http://127.0.0.1:%d%s" % (self._port, path), timeout=within_s) as response:
                answer = json.load(response)
        except (urllib.error.URLError, OSError, ValueError):
            answer = None
        self._read_output()
        return answer, time.monotonic() - began

    def stop(self, within_s: float) -> Optional[float]:
        """Seconds until it had ended after SIGTERM; None if it had not."""
        began = time.monotonic()
        os.kill(self._victim.pid, signal.SIGTERM)
        while True:
            event = self._victim.next_event(began + within_s)
            if event is Silence.ENDED:
                return time.monotonic() - began
            if event is Silence.DEADLINE:
                return None

    def _read_output(self) -> None:
        while not isinstance(self._victim.next_event(time.monotonic()), Silence):
            pass

    def _wait_until_it_listens(self) -> None:
        until = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < until:
            if self._victim.next_event(time.monotonic() + 0.1) is Silence.ENDED:
                break
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                return
            except OSError:
                continue
        raise VictimUnusable("the server did not listen: %s" % " | ".join(self._victim.last_stderr))
