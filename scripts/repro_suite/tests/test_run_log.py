"""What is written as an init time is read as one; percentiles are values that were measured."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

from repro_suite.analyze import percentile
from repro_suite.run_log import LabelledLog, RunLog, read_init_times, read_lockups


class RunLogTest(unittest.TestCase):
    def test_round_trip(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            log = RunLog(Path(directory) / "log")
            labelled = LabelledLog(log, "a case, without")
            labelled.write("stderr: fork 1: child 7 init time")
            labelled.init_time(1, "child", 7, 0.0125)
            labelled.iteration(2, "lockup (child 8 hung for 5 s)")
            log.close()
            (time,) = read_init_times(log.path)
            self.assertEqual(
                (time.label, time.fork, time.who, time.pid, time.ms), ("a case, without", 1, "child", 7, 12.5)
            )
            self.assertEqual(list(read_lockups(log.path)), ["a case, without"])

    def test_percentile(self) -> None:
        values = list(range(1, 101))
        self.assertEqual([percentile(values, p) for p in (50, 99, 100)], [50, 99, 100])
        self.assertEqual(percentile([3.0], 99), 3.0)


if __name__ == "__main__":
    unittest.main()
