"""What a test works with: `t`.

Promises: a fresh report directory for each test; every event that the shim wrote must be claimed by the test, or the
test fails: a false alarm is a defect.
"""

import os
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

from harness import events, places
from harness.process import Failure, Process, stands_still

# Exit codes of tests/programs/victim.h.
HUNG = 99

# How long a process must stand still to be called hung. A healthy one of these programs is done in milliseconds.
STILL_S = 1.0


class Context:
    def __init__(self, name: str, deadline: float):
        self.name = name
        self.deadline = time.monotonic() + deadline
        self.directory = Path(tempfile.mkdtemp(prefix="forkmend-test-"))
        self.reports = self.directory / "reports"
        self.reports.mkdir()
        # Tests drop privileges: the reports of an unprivileged child land here as well.
        os.chmod(self.directory, 0o755)
        os.chmod(self.reports, 0o1777)
        self.log = self.directory / "log"
        self.log.touch()
        self.notes: list[str] = []
        self._processes: list[Process] = []
        self._allowed: set[str] = set()
        self._claimed: set[int] = set()
        self._lock = threading.Lock()

    # --- starting programs ---------------------------------------------------------------------------

    def environment(self, shim: bool, settings: dict) -> dict:
        """The tester's own environment without any trace of the shim, then the settings of this test."""
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("FORKMEND", "LD_", "PYTHON", "ASAN_", "TSAN_", "UBSAN_"))}
        kept["LC_ALL"] = "C.UTF-8"
        if shim:
            kept["LD_PRELOAD"] = str(places.LIBRARY)
            kept["FORKMEND_DIR"] = str(self.reports)
        kept.update({name: str(value) for name, value in settings.items()})
        return kept

    def start(self, *arguments, shim=True, cwd=None, **settings) -> Process:
        """Starts a program of build/tests (by name), or any by path."""
        program = arguments[0]
        if isinstance(program, str) and "/" not in program:
            program = places.PROGRAMS / program
        process = Process([program, *arguments[1:]], self.environment(shim, settings), self.log, self.deadline, cwd)
        with self._lock:
            self._processes.append(process)
        return process

    def run(self, *arguments, shim=True, within=30.0, expect=0, **settings) -> Process:
        """Runs a program to its end and checks its exit code."""
        process = self.start(*arguments, shim=shim, **settings)
        code = process.wait(within)
        if code != expect:
            raise Failure("%s%s: %s instead of %s" % (
                arguments[0], "" if shim else " without the shim", describe(code), describe(expect)))
        return process

    def python(self, interpreter, script, *arguments, site=None, **options) -> Process:
        """Runs a program of tests/preload."""
        if site is not None:
            options["PYTHONPATH"] = site
        options.setdefault("PYTHONDONTWRITEBYTECODE", "1")
        return self.start(str(interpreter), places.PRELOAD / script, *arguments, **options)

    # --- what is expected ----------------------------------------------------------------------------

    def hangs_without(self, *arguments, step: str) -> None:
        """Without the shim the child reaches the step, and then nothing happens any more: else "not reproduced"."""
        process = self.start(*arguments, shim=False)
        pid = int(process.wait_for_line(r"^step %s \d+ (\d+)$" % step, 10)[1])
        if not stands_still(pid, STILL_S):
            raise Failure("not reproduced: without the shim %s goes on after %r" % (" ".join(arguments), step))
        process.kill_child(pid)
        process.wait(10)

    def lockup(self, process: Process, step: str, verdict: str, within: float) -> dict:
        """Waits for the lockup report of the process that said `step`, checks its time, and kills that process."""
        match = process.wait_for_line(r"^step %s (\d+) (\d+)$" % step, 20)
        since, pid = int(match[1]), int(match[2])
        process.wait_for_line(r"^forkmend\[%d\]: lockup " % pid, within + 20)
        process.kill_child(pid)
        found = [event for event in self.events("lockup") if event["process"]["pid"] == pid]
        if len(found) != 1:
            raise Failure("%d lockup events of process %d instead of 1" % (len(found), pid))
        event = found[0]
        self.claim(event)
        self.same("verdict", event["verdict"], verdict)
        after = (event["mono_ns"] - since) / 1e9
        self.check(after <= within, "reported %.2f s after the step, later than %.1f s" % (after, within))
        return event

    def events(self, kind: str) -> list:
        return [event for event in events.read(self.reports) if event["event"] == kind]

    def claim(self, event: dict) -> None:
        self._claimed.add(event["mono_ns"])

    def claim_all(self, kind: str) -> list:
        """Every event of a kind, from now on expected."""
        self._allowed.add(kind)
        return self.events(kind)

    def check(self, holds, otherwise: str) -> None:
        if not holds:
            raise Failure(otherwise)

    def same(self, what: str, found, expected) -> None:
        if found != expected:
            raise Failure("%s is %r instead of %r" % (what, found, expected))

    def note(self, text: str) -> None:
        """A measurement worth a word in the test's line."""
        self.notes.append(text)

    # --- the end -------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Ends what is left of the test's processes; raises for events that nobody claimed."""
        for process in self._processes:
            process.end()
        unclaimed = [event for event in events.read(self.reports)
                     if event["event"] not in self._allowed and event["mono_ns"] not in self._claimed]
        if unclaimed:
            raise Failure("unexpected report: " + "; ".join(map(summary, unclaimed[:3])))

    def abandon(self) -> None:
        """After a failure: ends the processes, keeps the log for the tail."""
        for process in self._processes:
            process.end()

    def remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


def summary(event: dict) -> str:
    if event["event"] == "lockup":
        return "lockup %s (%s) in %s: %s" % (
            event["verdict"], event["cause"], event["wait"]["call"], event["evidence"][0]["text"])
    if event["event"] == "lock-opened":
        return "lock-opened: %r at %s, held by %r" % (event["object"], event["when"], event["owner"]["name"])
    return "%s %s" % (event["event"], {name: event[name] for name in events.KINDS[event["event"]]})


def describe(code: int) -> str:
    if code == HUNG:
        return "a child that hung (99)"
    if code > 128:
        try:
            return "death by %s" % signal.Signals(code - 128).name
        except ValueError:
            pass
    return "exit %d" % code
