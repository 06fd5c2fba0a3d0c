"""One victim program, from its start to the end of the last process it left behind.

Promises: its events in order, its stderr in the log, and never a wait without a deadline; nothing it started survives
`close`. Processes are killed one by one by id, only those of the victim's own session, and only after their identity
(id and start time) was checked. Knows nothing of what the victim does.
"""

from __future__ import annotations

import collections
import enum
import json
import os
import select
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import Any, Callable, Optional, Protocol, Union

import psutil

from repro_suite import stacks
from repro_suite.run_log import LabelledLog
from repro_suite.victims.driver_channel import STACKS_FD_VARIABLE

Event = dict[str, Any]
# SIGKILL works at once but for a process in the middle of a disk wait or with a huge address space to take down.
KILLED_WITHIN_S = 10.0


class VictimUnusable(Exception):
    """The victim never got as far as its first iteration: nothing was measured."""


class Silence(enum.Enum):
    """What `next_event` returns when there is no event."""

    DEADLINE = enum.auto()
    ENDED = enum.auto()


class StderrReader(Protocol):
    """Is given what the victim writes to stderr, line by line."""

    def feed(self, line: str) -> None: ...


class Victim:
    """A program that may write JSON events to its stdout, one a line; other lines there go to the log."""

    _live: set[Victim] = set()
    _live_lock = threading.Lock()

    def __init__(self, argv: Sequence[str], environment: dict[str, str], log: LabelledLog, symptoms: StderrReader):
        self._log = log
        self._symptoms = symptoms
        self._events: collections.deque[Event] = collections.deque()
        self.last_stderr: collections.deque[str] = collections.deque(maxlen=5)
        self._stacks_fd, stacks_write_fd = os.pipe()
        try:
            self._process = subprocess.Popen(
                list(argv),
                env={**environment, STACKS_FD_VARIABLE: str(stacks_write_fd)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[stacks_write_fd],
                # A session of its own: ^C reaches the driver alone, and what belongs to the victim can be told.
                start_new_session=True,
            )
        finally:
            os.close(stacks_write_fd)
        self.pid = self._process.pid
        self._pidfd = os.pidfd_open(self.pid)
        self._selector = selectors.DefaultSelector()
        self._register(self._process.stdout.fileno(), self._on_stdout_line)
        self._register(self._process.stderr.fileno(), self._on_stderr_line)
        self._selector.register(self._pidfd, selectors.EVENT_READ, None)
        with Victim._live_lock:
            Victim._live.add(self)

    @classmethod
    def kill_all(cls) -> None:
        """Ends every victim there is; whoever waits for one of them sees that it ended."""
        with cls._live_lock:
            for victim in cls._live:
                victim.kill()

    def next_event(self, deadline: float) -> Union[Event, Silence]:
        """Waits until time.monotonic() reaches the deadline at most."""
        while not self._events:
            ready = self._selector.select(max(0.0, deadline - time.monotonic()))
            ended = any(key.data is None for key, _ in ready)
            for key, _ in ready:
                if key.data is not None:
                    self._read(key.fd, key.data)
            if self._events:
                break
            if ended:
                # Its last words may still be in the pipes; a child that hangs holds them open, so no EOF is awaited.
                self._drain()
                if not self._events:
                    return Silence.ENDED
            elif not ready and time.monotonic() >= deadline:
                return Silence.DEADLINE
        return self._events.popleft()

    def dump(self, process: psutil.Process) -> str:
        return stacks.dump(process, self._stacks_fd)

    def find(self, pid: int) -> Optional[psutil.Process]:
        """The live process of this victim with that id; None if it is gone, or the id is somebody else's by now."""
        try:
            process = psutil.Process(pid)
            if os.getsid(pid) == self.pid and process.status() != psutil.STATUS_ZOMBIE:
                return process
        except (psutil.NoSuchProcess, ProcessLookupError):
            pass
        return None

    def kill(self) -> None:
        """Kills the main process; `close` ends the others."""
        _kill(self._pidfd)

    def close(self) -> int:
        """Ends whatever is left of the victim; returns how the main process ended, negative for a signal."""
        with Victim._live_lock:
            Victim._live.discard(self)
        self.kill()
        # Not reaped before its session is empty: as a zombie it keeps its id, and so the session's, from reuse.
        os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOWAIT)
        self._end_session()
        status = self._process.wait()
        self._drain()
        self._selector.close()
        for fd in (self._pidfd, self._stacks_fd):
            os.close(fd)
        self._process.stdout.close()
        self._process.stderr.close()
        return status

    def _end_session(self) -> None:
        # A member may be forking while the others are looked up; a second look finds its child.
        while True:
            members = [pid for pid in psutil.pids() if self.find(pid) is not None]
            if not members:
                return
            for pid in members:
                self._end(pid)

    def _end(self, pid: int) -> None:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            # Looked up again: from here on the descriptor names this process and no later one with its id.
            if self.find(pid) is not None:
                _kill(pidfd)
                select.select([pidfd], [], [], KILLED_WITHIN_S)
        finally:
            os.close(pidfd)

    def _register(self, fd: int, on_line: Callable[[str], None]) -> None:
        os.set_blocking(fd, False)
        self._selector.register(fd, selectors.EVENT_READ, LineReader(on_line))

    def _read(self, fd: int, reader: LineReader) -> bool:
        """Reads what is there; false if that was nothing."""
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return False
        if not data:
            self._selector.unregister(fd)
            reader.finish()
            return False
        reader.feed(data)
        return True

    def _drain(self) -> None:
        for key in list(self._selector.get_map().values()):
            if key.data is not None:
                while self._read(key.fd, key.data):
                    pass

    def _on_stdout_line(self, line: str) -> None:
        if line.startswith("{"):
            self._events.append(json.loads(line))
        else:
            self._log.write("stdout: " + line)

    def _on_stderr_line(self, line: str) -> None:
        self.last_stderr.append(line)
        self._symptoms.feed(line)
        self._log.write("stderr: " + line)


def _kill(pidfd: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass


class LineReader:
    """Cuts a stream into lines."""

    def __init__(self, on_line: Callable[[str], None]):
        self._on_line = on_line
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._on_line(line.decode(errors="replace"))

    def finish(self) -> None:
        if self._rest:
            self._on_line(self._rest.decode(errors="replace"))
            self._rest = b""


def describe_status(status: int) -> str:
    """A status as subprocess has it, in words."""
    if status >= 0:
        return "exit code %d" % status
    try:
        return signal.Signals(-status).name
    except ValueError:
        return "signal %d" % -status
