"""Processes that a test starts: with a deadline, and gone at its end.

Promises: each is the leader of a session of its own, and whatever is left of that session at the end is killed by pid.
The leader is not reaped before that: as a zombie it keeps its id, and so the session's, from strangers.
Output is read as it comes, so that a test can wait for a line (an event) rather than sleep.
"""

import os
import re
import select
import signal
import subprocess
import threading
import time
from pathlib import Path

# Victims say what they do as "step NAME MONOTONIC_NS" (tests/programs/victim.h).
STEP = re.compile(r"step (\S+) (\d+)(?: (-?\d+))?$")


class Failure(Exception):
    """What a test expected did not happen. The text says what did."""


class Process:
    def __init__(self, arguments, environment, log: Path, deadline: float, cwd=None):
        self.deadline = deadline
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._open_streams = 2
        self._log = log.open("ab")
        self._log.write(("$ %s\n" % " ".join(map(str, arguments))).encode())
        self._popen = subprocess.Popen(
            [str(argument) for argument in arguments], env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, cwd=cwd)
        self.pid = self._popen.pid
        self._pidfd = os.pidfd_open(self.pid)
        self.stderr_lines: list[str] = []
        self._readers = [threading.Thread(target=self._read, args=(stream, sink), daemon=True)
                         for stream, sink in ((self._popen.stdout, None), (self._popen.stderr, self.stderr_lines))]
        for reader in self._readers:
            reader.start()

    def _read(self, stream, sink) -> None:
        for raw in stream:
            line = raw.decode(errors="replace").rstrip("\n")
            with self._news:
                self._log.write(raw)
                self._lines.append(line)
                if sink is not None:
                    sink.append(line)
                self._news.notify_all()
        with self._news:
            self._open_streams -= 1
            self._news.notify_all()

    @property
    def output(self) -> list[str]:
        with self._news:
            return list(self._lines)

    def wait_for_line(self, pattern: str, within: float) -> "re.Match":
        """The first line that matches, as soon as it is there."""
        compiled, at = re.compile(pattern), 0
        until = min(time.monotonic() + within, self.deadline)
        with self._news:
            while True:
                for line in self._lines[at:]:
                    match = compiled.search(line)
                    if match:
                        return match
                at = len(self._lines)
                left = until - time.monotonic()
                if left <= 0 or self._open_streams == 0:
                    why = "ended" if self._open_streams == 0 else "%.1f s" % within
                    raise Failure("no line like %r (%s)" % (pattern, why))
                self._news.wait(left)

    def steps(self) -> dict[str, tuple[int, int]]:
        """Steps that were reached: name to (CLOCK_MONOTONIC ns, value)."""
        found: dict[str, tuple[int, int]] = {}
        for line in self.output:
            match = STEP.match(line)
            if match:
                found.setdefault(match[1], (int(match[2]), int(match[3] or 0)))
        return found

    def wait(self, within: float) -> int:
        """The exit code, or 128 + the signal. Everything the program and its children wrote is read by then."""
        until = min(time.monotonic() + within, self.deadline)
        if not select.select([self._pidfd], [], [], max(0.0, until - time.monotonic()))[0]:
            raise Failure("still runs after %.1f s: %s" % (within, describe_session(self.pid)))
        with self._news:
            while self._open_streams and time.monotonic() < until:
                self._news.wait(max(0.0, until - time.monotonic()))
        how = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        assert how is not None  # only WNOHANG gives none
        return how.si_status if how.si_code == os.CLD_EXITED else 128 + how.si_status

    def kill_child(self, pid: int) -> None:
        """Kills a descendant that the program told us of."""
        if session_of(pid) == self.pid:
            os.kill(pid, signal.SIGKILL)

    def end(self) -> list[int]:
        """Kills what is left. Returns the pids, the program's own not among them. Nothing, the second time."""
        if self._pidfd < 0:
            return []
        left = [pid for pid in session_members(self.pid) if pid != self.pid]
        # A stopped or forking family needs more than one look; each look kills all it finds.
        for _ in range(100):
            members = session_members(self.pid)
            for pid in members:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if not members:
                break
            time.sleep(0.01)
        self._popen.wait()
        os.close(self._pidfd)
        self._pidfd = -1
        for reader in self._readers:
            reader.join(5)
        self._log.close()
        return left


def session_of(pid: int) -> int:
    try:
        stat = Path("/proc/%d/stat" % pid).read_text(errors="replace")
    except OSError:
        return -1
    fields = stat[stat.rindex(")") + 2 :].split()
    return -1 if fields[0] == "Z" else int(fields[3])


def session_members(session: int) -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and session_of(int(name)) == session]


def describe_session(session: int) -> str:
    """What the threads of a session's processes are doing, for a person."""
    said = []
    for pid in session_members(session):
        threads = []
        try:
            for tid in sorted(os.listdir("/proc/%d/task" % pid), key=int)[:4]:
                base = Path("/proc/%d/task/%s" % (pid, tid))
                threads.append("%s %s %s" % (tid, _state(base), (base / "wchan").read_text().strip("0") or "-"))
            said.append("[%s]" % "; ".join(threads))
        except OSError:
            continue
    return "pid/state/wchan " + " ".join(said)


def _state(task: Path) -> str:
    stat = (task / "stat").read_text(errors="replace")
    return stat[stat.rindex(")") + 2]


def stands_still(pid: int, seconds: float, within: float = 10.0) -> bool:
    """True once every thread of the process slept through so many seconds and none was run: it hangs, it is not slow."""
    before: dict = {}
    until, since = time.monotonic() + within, time.monotonic()
    while time.monotonic() < until:
        now = _switches(pid)
        if not now:
            return False  # it ended
        if now != before or any(state != "S" for state, _ in now.values()):
            since, before = time.monotonic(), now
        elif time.monotonic() - since >= seconds:
            return True
        time.sleep(0.05)
    return False


def _switches(pid: int) -> dict:
    found = {}
    try:
        for tid in os.listdir("/proc/%d/task" % pid):
            base = Path("/proc/%d/task/%s" % (pid, tid))
            counts = re.findall(r"ctxt_switches:\t(\d+)", (base / "status").read_text())
            found[tid] = (_state(base), tuple(counts))
    except OSError:
        return {}
    return found
