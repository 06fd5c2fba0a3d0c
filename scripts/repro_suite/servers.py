"""Real servers for the length of a combination: etcd and redis (or valkey), on ports that nobody chose.

Promises: a server answers when its context is entered, keeps its data in a directory of its own, and is gone when the
context is left, as is the directory. A program that is not installed is `ServerMissing`, with what to install.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

# A server on a loaded machine needs a second or two.
ANSWERS_WITHIN_S = 30.0
ENDS_WITHIN_S = 10.0
# Between asking for a free port and the server taking it, somebody else may.
ATTEMPTS = 5


class ServerMissing(Exception):
    """The server's program is not installed, or does not start."""


@contextlib.contextmanager
def etcd() -> Iterator[str]:
    """The address of a fresh etcd, as http://127.0.0.1:PORT."""

    def arguments(port: int, directory: Path) -> Sequence[str]:
        peers = "http://127.0.0.1:%d" % _free_port()
        clients = "http://127.0.0.1:%d" % port
        return (
            *("--data-dir", str(directory), "--name", "repro", "--initial-cluster", "repro=" + peers),
            *("--listen-client-urls", clients, "--advertise-client-urls", clients),
            *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
        )

    with _server("etcd-server", ("etcd",), arguments) as port:
        yield "http://127.0.0.1:%d" % port


@contextlib.contextmanager
def valkey() -> Iterator[int]:
    """The port of a fresh valkey, or redis where there is none."""

    def arguments(port: int, directory: Path) -> Sequence[str]:
        return ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory))

    with _server("redis-server", ("valkey-server", "redis-server"), arguments) as port:
        yield port


@contextlib.contextmanager
def _server(package: str, programs: Sequence[str], arguments) -> Iterator[int]:
    program = next((path for path in map(_which, programs) if path is not None), None)
    if program is None:
        raise ServerMissing("%s is not installed: run scripts/setup repro" % " or ".join(programs))
    with tempfile.TemporaryDirectory(prefix="forkmend-%s-" % package) as directory:
        for attempt in range(ATTEMPTS):
            port = _free_port()
            log = Path(directory) / ("log-%d" % attempt)
            data = Path(directory) / ("data-%d" % attempt)
            data.mkdir(mode=0o700)
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [program, *arguments(port, data)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            if _answers(port, process):
                break
            _end(process)
        else:
            raise ServerMissing("%s does not start: %s" % (program, log.read_text(errors="replace")[-300:]))
        try:
            yield port
        finally:
            _end(process)


def _which(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/bin")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(port: int, process: subprocess.Popen) -> bool:
    deadline = time.monotonic() + ANSWERS_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
        except OSError:
            time.sleep(0.05)
    return False


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
