"""What is written as an init time is read as one; percentiles are values that were measured."""

from __future__ import annotations

import multiprocessing
import tempfile
import unittest
from pathlib import Path

from repro_suite.analyze import percentile
from repro_suite.run_log import LabelledLog, RunLog, log_path, read_init_times, read_lockups, run_name


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

    def test_runs_that_begin_together(self) -> None:
        started = "20261121T205800.000Z"
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            beside = pool.apply(run_name, (started,))
        self.assertNotEqual(log_path("libgomp", beside), log_path("libgomp", run_name(started)))
        self.assertEqual(sorted((beside, "20261121T205759.999Z-9")), ["20261121T205759.999Z-9", beside])

    def test_percentile(self) -> None:
        values = list(range(1, 101))
        self.assertEqual([percentile(values, p) for p in (50, 99, 100)], [50, 99, 100])
        self.assertEqual(percentile([3.0], 99), 3.0)


if __name__ == "__main__":
    unittest.main()
