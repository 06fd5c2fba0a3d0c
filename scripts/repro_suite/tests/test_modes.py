"""The two modes differ in the shim alone, and what it reported is read in full."""

from __future__ import annotations

import json
import os
import tempfile
import unittest
from pathlib import Path
from unittest.mock import patch

from repro_suite import lockup_reports
from repro_suite.preload import Mode, Shim
from repro_suite.victim import VictimUnusable

SHIM = Shim(Path("/somewhere/libforkmend.so"))
REPORTS = Path("/reports")


class PreloadTest(unittest.TestCase):
    def test_other_preloads_stay(self) -> None:
        with patch.dict(os.environ, {"LD_PRELOAD": "liba.so /other/libforkmend.so:libb.so"}):
            self.assertEqual(SHIM.environment(Mode.WITHOUT, REPORTS)["LD_PRELOAD"], "liba.so:libb.so")
            preloads = SHIM.environment(Mode.WITH, REPORTS)["LD_PRELOAD"]
            self.assertEqual(preloads, "/somewhere/libforkmend.so:liba.so:libb.so")

    def test_settings_reach_only_the_shim(self) -> None:
        with patch.dict(os.environ, {"FORKMEND_DRAIN_MS": "5"}):
            self.assertNotIn("FORKMEND_DRAIN_MS", SHIM.environment(Mode.WITHOUT, REPORTS))
            environment = SHIM.environment(Mode.WITH, REPORTS)
            self.assertEqual((environment["FORKMEND_DRAIN_MS"], environment["FORKMEND_DIR"]), ("5", "/reports"))

    def test_a_preload_that_the_loader_dropped_is_noticed(self) -> None:
        SHIM.check(Mode.WITHOUT, os.getpid())
        with self.assertRaisesRegex(VictimUnusable, "libforkmend.so is not loaded"):
            SHIM.check(Mode.WITH, os.getpid())


class LockupReportsTest(unittest.TestCase):
    def test_lockups_are_read_and_broken_lines_are_said(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            lockup = {"event": "lockup", "id": "3f9a1c", "verdict": "certain", "process": {"pid": 7}}
            lines = [json.dumps({"event": "revived"}), json.dumps(lockup), "{half a li"]
            (Path(directory) / "some.jsonl").write_text("\n".join(lines) + "\n")
            reports = [str(report) for report in lockup_reports.read(Path(directory))]
            self.assertEqual(reports[0], "certain 3f9a1c of process 7")
            self.assertIn("unreadable line in some.jsonl", reports[1])
            self.assertEqual(len(reports), 2)


if __name__ == "__main__":
    unittest.main()
