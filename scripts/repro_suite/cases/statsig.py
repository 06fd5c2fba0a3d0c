"""Statsig (Rust, tokio, pyo3): a forked child locks up while it initialises its own client.

The published repro and three relatives. What hangs: `shutdown().wait()` returns while a worker still holds the runtime;
a fork in that window gives the child a runtime that is alive by its reference count and has no threads.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Iterator

from repro_suite import places
from repro_suite.case import Case, Expectation, Trial
from repro_suite.fakes import FakeService
from repro_suite.fork_loop import ForkLoop
from repro_suite.outcomes import Iteration, Outcome
from repro_suite.packages import PackageSet
from repro_suite.symptoms import KnownSymptom
from repro_suite.victim import Event

VICTIM = places.VICTIMS / "statsig_loop.py"
LIVE_VICTIM = places.VICTIMS / "statsig_live.py"
# Measured with 0.4.2 without any fork and without the shim: 1 of 300 cycles of create, shutdown().wait(), remove when
# they follow each other at once, 267 of 300 when 1 ms passes between them. Waiting for a safepoint is such a pause.
RUNTIME_DROPPED_INSIDE = KnownSymptom(
    re.compile(r"^Cannot drop a runtime in a context where blocking is not allowed"),
    "panic in the SDK's own shutdown(), which needs no fork",
)


class StatsigCase(Case):
    """The published loop, in one of its shapes."""

    package_sets = tuple(
        PackageSet("statsig", version, ("statsig-python-core==" + version,)) for version in ("0.5.0", "0.4.2")
    )
    known_symptoms = (RUNTIME_DROPPED_INSIDE,)

    def __init__(self, name: str, title: str, expectation: Expectation, *victim_arguments: str):
        self.name = name
        self.title = title
        self.expectation = expectation
        self._victim_arguments = victim_arguments

    def run(self, trial: Trial) -> Iterator[Iteration]:
        return ForkLoop(trial, lambda first, count: self._argv(trial, first, count)).run()

    def _argv(self, trial: Trial, first: int, count: int, *more: str) -> tuple[str, ...]:
        forks = ("--first", str(first), "--count", str(count))
        return trial.victim_argv(VICTIM, *forks, *self._victim_arguments, *more)


class StatsigFakeCase(StatsigCase):
    """Parent and child each end with a working client: what they flushed arrived, once."""

    def run(self, trial: Trial) -> Iterator[Iteration]:
        with FakeService("statsig") as service:
            # Unique across runs, so that an event that is late from anywhere else cannot be taken for ours.
            arguments = ("--service", service.url, "--event-prefix", uuid.uuid4().hex[:12])
            sent = SentEvents()
            loop = ForkLoop(trial, lambda first, count: self._argv(trial, first, count, *arguments), sent.note)
            yield from loop.run()
            arrived = Counter(event["name"] for event in service.get("/events")["events"])
            yield from sent.compare(arrived, trial)


class StatsigLiveCase(StatsigCase):
    """The parent's instance is alive at the fork, and the child uses it; events as above, and no connection is shared."""

    default_timeout_s = 20.0

    def __init__(self, action: str, title: str, expectation: Expectation):
        super().__init__("statsig-live/" + action, "Statsig, alive at the fork: " + title, expectation)
        self._action = action
        if action == "exit":  # 0.5.0 ends without a word
            self.package_sets = tuple(packages for packages in self.package_sets if packages.version == "0.4.2")

    def run(self, trial: Trial) -> Iterator[Iteration]:
        with FakeService("statsig") as service:
            prefix = uuid.uuid4().hex[:12]
            arguments = (self._action, "--service", service.url, "--event-prefix", prefix)
            sent = SentEvents()

            def argv(first: int, count: int) -> tuple[str, ...]:
                return trial.victim_argv(LIVE_VICTIM, *arguments, "--first", str(first), "--count", str(count))

            yield from ForkLoop(trial, argv, sent.note).run()
            events = service.get("/events")["events"]
            yield from sent.compare(Counter(event["name"] for event in events), trial)
            yield from sent.connections(events, trial)


class SentEvents:
    """What the victims say they logged and flushed."""

    def __init__(self) -> None:
        self._logged: dict[str, Event] = {}
        self._flushed: dict[str, Event] = {}

    def note(self, event: Event) -> None:
        if event["event"] == "logged":
            self._logged[str(event["name"])] = event
        elif event["event"] == "flushed":
            self._flushed[str(event["name"])] = event

    def compare(self, arrived: Counter, trial: Trial) -> Iterator[Iteration]:
        """A wrong iteration for each event that is lost or duplicated.

        One that was logged and not flushed belongs to a process that hung or died: it may be missing, not doubled.
        """
        for name, event in self._logged.items():
            if arrived[name] > 1:
                problem = "arrived %d times" % arrived[name]
            elif arrived[name] == 0 and name in self._flushed:
                problem = "was flushed and never arrived"
            else:
                continue
            detail = "the event of the %s %s" % (event["who"], problem)
            trial.log.iteration(event["fork"], "%s (%s)" % (Outcome.WRONG.value, detail))
            yield Iteration(event["fork"], Outcome.WRONG, detail, event["pid"])


    def connections(self, events: list[dict], trial: Trial) -> Iterator[Iteration]:
        """A wrong iteration for each connection on which events of two processes came."""
        user: dict[str, Event] = {}
        for event in events:
            sender = self._logged.get(event["name"])
            if sender is None:
                continue
            first = user.setdefault(event["connection"], sender)
            if first["pid"] == sender["pid"]:
                continue
            detail = "the event of the %s came on a connection of the %s of fork %d" % (
                sender["who"], first["who"], first["fork"])
            trial.log.iteration(sender["fork"], "%s (%s)" % (Outcome.WRONG.value, detail))
            yield Iteration(sender["fork"], Outcome.WRONG, detail, sender["pid"])


# Measured without the shim on two busy CPUs, 100 forks for each version on each of seven interpreters from 3.8 to 3.13:
# 13–35 % (statsig), 14–39 % (statsig-mp), 12–20 % (statsig-fake), 14–42 % (statsig-4). The bounds are so far below that
# chance alone hardly ever makes 40 forks miss them.
CASES = [
    StatsigCase("statsig", "Statsig: the published repro, os.fork", Expectation(0.05)),
    StatsigCase(
        "statsig-mp", "Statsig: the same through multiprocessing", Expectation(0.025), "--via", "multiprocessing"
    ),
    StatsigFakeCase("statsig-fake", "Statsig: events of parent and child at a loopback service", Expectation(0.025)),
    *(StatsigLiveCase(action, title, Expectation(bound)) for action, title, bound in (
        ("flush", "log, flush_events", 0.9), ("shutdown", "shutdown", 0.9), ("new", "an instance of its own", 0.9),
        ("mixed", "all of these", 0.9), ("thread", "fork from a thread, flush", 0.9),
        ("initialising", "fork while initialising, flush", 0.9), ("exit", "sys.exit()", 0.3))),
    StatsigCase("statsig-4", "Statsig: four children in flight at once", Expectation(0.05), "--width", "4"),
]
