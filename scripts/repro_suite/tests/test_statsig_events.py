"""A flushed event that is lost or doubled on its way to the service is a wrong result."""

from __future__ import annotations

import gzip
import json
import unittest
import urllib.request
from collections import Counter
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

from repro_suite.cases.statsig import SentEvents
from repro_suite.fakes import FakeService


class SentEventsTest(unittest.TestCase):
    def compare(self, arrived: dict[str, int]) -> list[tuple[int, str]]:
        sent = SentEvents()
        for fork, name in enumerate(["one", "two"], 1):
            event = {"who": "child", "fork": fork, "name": name, "pid": fork}
            sent.note({**event, "event": "logged"})
            if name == "one":
                sent.note({**event, "event": "flushed"})
        trial: Any = SimpleNamespace(log=Mock())
        return [(wrong.number, wrong.detail) for wrong in sent.compare(Counter(arrived), trial)]

    def test_all_arrived(self) -> None:
        self.assertEqual(self.compare({"one": 1, "two": 1, "statsig::diagnostics": 7}), [])

    def test_only_logged_may_be_lost(self) -> None:
        self.assertEqual(self.compare({"one": 1}), [])

    def test_flushed_may_not(self) -> None:
        self.assertEqual(self.compare({"two": 1}), [(1, "the event of the child was flushed and never arrived")])

    def test_none_may_be_doubled(self) -> None:
        self.assertEqual(self.compare({"one": 1, "two": 2}), [(2, "the event of the child arrived 2 times")])


class StatsigServiceTest(unittest.TestCase):
    def test_keeps_gzipped_events(self) -> None:
        body = gzip.compress(json.dumps({"events": [{"eventName": "one"}, {"eventName": "two"}]}).encode())
        with FakeService("statsig") as service:
            request = urllib.request.Request(service.url + "/v1/log_event", body, {"Content-Encoding": "gzip"})
            with urllib.request.urlopen(request, timeout=10) as answer:
                self.assertEqual(answer.status, 202)
            self.assertEqual([event["name"] for event in service.get("/events")["events"]], ["one", "two"])


if __name__ == "__main__":
    unittest.main()
