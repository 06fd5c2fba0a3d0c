"""Every way in which a victim can misbehave is seen, counted once, and leaves no process behind."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
import unittest
from collections import Counter
from pathlib import Path

import psutil

from repro_suite.case import Trial
from repro_suite.fork_loop import ForkLoop
from repro_suite.interpreters import Interpreter
from repro_suite.outcomes import Outcome, Tally
from repro_suite.packages import PackageSet
from repro_suite.run_log import LabelledLog, RunLog
from repro_suite.symptoms import KnownSymptom, SymptomWatch
from repro_suite.victim import VictimUnusable

SCRIPTED = Path(__file__).with_name("scripted_victim.py")
# Long enough for a fork on a loaded machine, short enough to be waited for.
TIMEOUT_S = 2.0
FORKS = 3


class ForkLoopTest(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        log = RunLog(Path(directory.name) / "log")
        self.addCleanup(log.close)
        self.log_path = log.path
        self.symptoms = SymptomWatch((KnownSymptom(re.compile("well known"), "known"),))
        self.trial = Trial(
            packages=PackageSet("none", "0", ()),
            site=Path(directory.name),
            interpreter=Interpreter(Path(sys.executable), sys.version_info[:3]),
            count=FORKS,
            timeout_s=TIMEOUT_S,
            environment=dict(os.environ),
            log=LabelledLog(log, "test"),
            symptoms=self.symptoms,
            stop=threading.Event(),
            check_preload=lambda pid, said: None,
            record_init=lambda seconds: None,
        )

    def run_scenario(self, scenario: str) -> Tally:
        def argv(first: int, count: int):
            return self.trial.victim_argv(SCRIPTED, scenario, "--first", str(first), "--count", str(count))

        tally = Tally()
        for iteration in ForkLoop(self.trial, argv).run():
            tally.record(iteration)
        self.symptoms.finish()
        self.assertEqual([p.pid for p in psutil.process_iter() if str(SCRIPTED) in self.command(p)], [])
        return tally

    @staticmethod
    def command(process: psutil.Process) -> str:
        try:
            return " ".join(process.cmdline())
        except psutil.Error:
            return ""

    def assert_bad(self, scenario: str, outcome: Outcome, detail: str) -> None:
        """One bad outcome, of the second fork or, at exit, the last; all forks are counted."""
        tally = self.run_scenario(scenario)
        bad = [iteration for iteration in tally.iterations.values() if iteration.outcome is not Outcome.OK]
        self.assertEqual([iteration.outcome for iteration in bad], [outcome], bad)
        self.assertRegex(bad[0].detail, detail)
        self.assertEqual(bad[0].number, FORKS if "at exit" in scenario else 2)
        self.assertEqual(tally.total, FORKS)

    def test_healthy(self) -> None:
        tally = self.run_scenario("healthy")
        self.assertEqual((tally.total, tally.bad), (FORKS, 0))
        self.assertFalse(self.symptoms.found)

    def test_child_hangs(self) -> None:
        self.assert_bad("child hangs", Outcome.LOCKUP, "child .* hung")
        log = self.log_path.read_text()
        self.assertIn("in hang", log, "the Python stack")
        self.assertIn("wchan:", log, "the kernel's view")

    def test_child_crashes(self) -> None:
        self.assert_bad("child crashes", Outcome.CRASH, "SIGSEGV")

    def test_child_fails_a_step(self) -> None:
        self.assert_bad("child exits with 21", Outcome.WRONG, "exit code 21")

    def test_main_hangs(self) -> None:
        self.assert_bad("main hangs", Outcome.LOCKUP, "main process hung after a fork")

    def test_main_crashes(self) -> None:
        self.assert_bad("main crashes", Outcome.CRASH, "main process .* SIGKILL")

    def test_main_ends_early(self) -> None:
        self.assert_bad("main ends early", Outcome.WRONG, "ended early")

    def test_main_hangs_at_exit(self) -> None:
        self.assert_bad("main hangs at exit", Outcome.LOCKUP, "main process hung exiting")

    def test_main_crashes_at_exit(self) -> None:
        self.assert_bad("main crashes at exit", Outcome.CRASH, "main process ended exiting: SIGKILL")

    def test_grandchild_is_ended(self) -> None:
        self.assertEqual(self.run_scenario("child leaves a grandchild").bad, 0)

    def test_never_ready(self) -> None:
        with self.assertRaisesRegex(VictimUnusable, "exit code 1.*this is why"):
            self.run_scenario("never ready")

    def test_traceback(self) -> None:
        self.run_scenario("traceback in child")
        self.assertEqual(self.symptoms.found, Counter({"traceback": 1}))

    def test_panic(self) -> None:
        self.run_scenario("panic in child")
        self.assertEqual((self.symptoms.found, self.symptoms.known), (Counter({"panic": 1}), Counter()))

    def test_known_panic(self) -> None:
        self.run_scenario("known panic in child")
        self.assertEqual((self.symptoms.found, self.symptoms.known), (Counter(), Counter({"known": 1})))


if __name__ == "__main__":
    unittest.main()
