"""Langfuse's Python SDK (pure Python threads) under servers that fork: events lost, flush() hangs.

4.12.0 is the last release before the SDK starts its threads again by itself, 4.13.0 the first with it. A bad iteration is a
request (or task) that is not answered within a second, or whose event does not arrive exactly once; the parent's pending
event counts as well.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from urllib.parse import urlencode

from repro_suite import places, servers
from repro_suite.case import HEALTHY, Case, Expectation, Trial
from repro_suite.fakes import FakeService
from repro_suite.interpreters import Interpreter
from repro_suite.outcomes import Iteration, Outcome
from repro_suite.packages import PackageSet
from repro_suite.sent_events import SentEvents
from repro_suite.web_server import READY_WITHIN_S, Server, free_port
from repro_suite.victim import Silence, Victim, VictimUnusable

SERVERS = ("gunicorn==27.0.1", "pyuwsgi==2.0.30.post1")
BROKEN = PackageSet("langfuse", "4.12.0", ("langfuse==4.12.0", *SERVERS))
# What more it takes for two of the servers. The broker is a real one.
WITH_CELERY = PackageSet("langfuse-celery", "4.12.0", ("langfuse==4.12.0", "celery==5.4.0", "redis==6.4.0"))
WITH_GEVENT = PackageSet("langfuse-gevent", "4.12.0", ("langfuse==4.12.0", "gevent==24.11.1", SERVERS[0]))
HEALED = tuple(PackageSet("langfuse", version, ("langfuse==" + version, *SERVERS)) for version in ("4.13.0", "5.0.4"))
PER_START = 10
# What is answered later than this was waiting for something.
ANSWERED_WITHIN_S = 1.0
# With its own cure the SDK makes three HTTP clients anew in each child, with a TLS context each.
HEALED_WITHIN_S = 4.0
# gunicorn's own --timeout is 5 s: a worker that hangs is killed by then.
REQUEST_TIMEOUT_S = 8.0
STOPPED_WITHIN_S = 12.0


def gunicorn(*more: str, application: str = "langfuse_app:application"):
    def argv(trial: Trial, port: int) -> tuple[str, ...]:
        return (
            str(trial.interpreter.path), "-m", "gunicorn", "--preload", "--workers", "2", "--timeout", "5",
            "--graceful-timeout", "5", "--chdir", str(places.VICTIMS), "--bind", "127.0.0.1:%d" % port, *more,
            application,
        )

    return argv


def uwsgi(trial: Trial, port: int) -> tuple[str, ...]:
    """Stock flags; the server is a library in its wheel."""
    run = "import pyuwsgi, sys; pyuwsgi.run(sys.argv[1:])"
    return (
        str(trial.interpreter.path), "-c", run, "--master", "--processes", "2", "--enable-threads", "--http-socket",
        "127.0.0.1:%d" % port, "--harakiri", "5", "--die-on-term", "--chdir", str(places.VICTIMS), "--module",
        "langfuse_app:application", "--worker-reload-mercy", "5",
    )


def _environment(url: str, prefix: str, do: str, pending: str) -> dict[str, str]:
    """What the victims' applications read."""
    return {"LF_URL": url, "LF_PREFIX": prefix, "LF_DO": do, "LF_PENDING": pending}


class LangfuseCase(Case):
    def __init__(self, name: str, title: str, package_sets: tuple[PackageSet, ...], expectation: Expectation):
        self.name, self.title, self.package_sets, self.expectation = name, title, package_sets, expectation

    def supports(self, interpreter: Interpreter) -> bool:
        return interpreter.version >= (3, 10)  # the SDK's own floor


class ServerCase(LangfuseCase):
    """Requests to a server whose application made the client before the fork."""

    def __init__(self, name, title, package_sets, expectation, argv, do, within_s=ANSWERED_WITHIN_S):
        super().__init__(name, title, package_sets, expectation)
        self._argv, self._do, self._within_s = argv, do, within_s

    def run(self, trial: Trial) -> Iterator[Iteration]:
        prefix = "ev-%s-" % uuid.uuid4().hex[:8]
        sent = SentEvents()
        with FakeService("langfuse") as service:
            for first in range(1, trial.count + 1, PER_START):
                if trial.stop.is_set():
                    return
                yield from self._start(trial, service, prefix, sent, range(first, min(first + PER_START, trial.count + 1)))
            yield from sent.compare(service, trial)

    def _start(self, trial, service, prefix, sent, numbers) -> Iterator[Iteration]:
        port = free_port()
        pending = "%sparent-%d" % (prefix, numbers[0])
        sent.expect(pending, numbers[0])
        environment = _environment(service.url, prefix, self._do, pending)
        senders: dict = {pending: "the master"}
        with Server(trial, self._argv(trial, port), port, environment) as server:
            # uWSGI listens before it has imported the application.
            server.get("/", READY_WITHIN_S)
            for number in numbers:
                name = "%s%d" % (prefix, number)
                sent.expect(name, number)
                answer, seconds = server.get("/?" + urlencode({"name": name}), REQUEST_TIMEOUT_S)
                senders[name] = answer["pid"] if answer else None
                yield _judge(trial, number, answer, seconds, self._within_s)
            took = server.stop(STOPPED_WITHIN_S)
            if took is None or took > STOPPED_WITHIN_S / 2:
                yield Iteration(numbers[-1], Outcome.LOCKUP, "the server did not stop in time")
        yield from self._check_connections(service, senders, numbers[-1])

    def _check_connections(self, service: FakeService, senders: dict, number: int) -> Iterator[Iteration]:
        """A wrong iteration for each connection on which two processes wrote. A start has a handful of connections: that
        the kernel used a port twice is out of the question."""
        on_port: dict[int, set] = {}
        for event in service.get("/events")["events"]:
            if senders.get(event["name"]) is not None:
                on_port.setdefault(event["port"], set()).add(senders[event["name"]])
        for port, processes in on_port.items():
            if len(processes) > 1:
                yield Iteration(number, Outcome.WRONG, "the connection from port %d was shared by %s" % (port, processes))


def _judge(trial: Trial, number: int, answer, seconds: float, within_s: float = ANSWERED_WITHIN_S) -> Iteration:
    if answer is None or seconds > within_s:
        outcome, detail = Outcome.LOCKUP, "not answered" if answer is None else "answered after %.1f s" % seconds
    elif any(count > 1 for count in answer["threads"].values()):
        outcome, detail = Outcome.WRONG, "double threads: %r" % answer["threads"]
    else:
        outcome, detail = Outcome.OK, "answered by %d in %.3f s" % (answer["pid"], seconds)
    trial.log.iteration(number, "%s (%s)" % (outcome.value, detail))
    return Iteration(number, outcome, detail, answer["pid"] if answer else 0)


class TaskCase(LangfuseCase):
    """Tasks in processes of a pool: the victim says when each begins and ends."""

    def __init__(self, name, title, package_sets, expectation, via):
        super().__init__(name, title, package_sets, expectation)
        self._via = via

    def run(self, trial: Trial) -> Iterator[Iteration]:
        prefix = "ev-%s-" % uuid.uuid4().hex[:8]
        sent = SentEvents()
        with FakeService("langfuse") as service:
            for first in range(1, trial.count + 1, PER_START):
                if trial.stop.is_set():
                    return
                numbers = range(first, min(first + PER_START, trial.count + 1))
                yield from self._start(trial, service, prefix, sent, numbers)
            yield from sent.compare(service, trial)

    def _victim(self, trial: Trial, url: str, prefix: str, pending: str, names: list[str]):
        """What to run, and its environment."""
        argv = trial.victim_argv(places.VICTIMS / "langfuse_tasks.py", self._via, *names)
        return argv, {**trial.environment, **_environment(url, prefix, "flush", pending)}

    def _start(self, trial, service, prefix, sent, numbers) -> Iterator[Iteration]:
        pending = "%sparent-%d" % (prefix, numbers[0])
        sent.expect(pending, numbers[0])
        names = ["%s%d" % (prefix, number) for number in numbers]
        for name, number in zip(names, numbers):
            sent.expect(name, number)
        argv, environment = self._victim(trial, service.url, prefix, pending, names)
        victim = Victim(argv, environment, trial.log, trial.symptoms)
        open_numbers = dict(zip(names, numbers))
        try:
            deadline = time.monotonic() + 60
            while open_numbers:
                event = victim.next_event(deadline)
                if isinstance(event, Silence):
                    break
                if event["event"] == "ready":
                    trial.check_preload(victim.pid)
                    # From here on a task needs a fraction of a second.
                    deadline = time.monotonic() + REQUEST_TIMEOUT_S
                elif event["event"] == "task":
                    yield _judge(trial, open_numbers.pop(event["name"]), event, event["seconds"])
                    deadline = time.monotonic() + REQUEST_TIMEOUT_S
            for number in open_numbers.values():
                yield Iteration(number, Outcome.LOCKUP, "the task did not end")
            if not open_numbers and victim.next_event(time.monotonic() + STOPPED_WITHIN_S) is not Silence.ENDED:
                yield Iteration(numbers[-1], Outcome.LOCKUP, "the pool did not stop in time")
        finally:
            victim.close()


class CeleryCase(TaskCase):
    def run(self, trial: Trial) -> Iterator[Iteration]:
        try:
            with servers.valkey() as port:
                trial.environment["BROKER_URL"] = "redis://127.0.0.1:%d/0" % port
                yield from super().run(trial)
        except servers.ServerMissing as missing:
            raise VictimUnusable(str(missing)) from None

    def _victim(self, trial: Trial, url: str, prefix: str, pending: str, names: list[str]):
        argv = trial.victim_argv(places.VICTIMS / "langfuse_celery.py", *names)
        return argv, {**trial.environment, **_environment(url, prefix, "flush", pending)}


# Without the shim every request that reaches a forked worker and waits for its event hangs; a worker that was killed for
# it is replaced by another fork. Score only: answered, and lost.
HANGS = Expectation(0.4)
CASES = [
    ServerCase("langfuse", "Langfuse: gunicorn --preload, score and flush", (BROKEN,), HANGS, gunicorn(), "flush"),
    ServerCase("langfuse-score", "Langfuse: gunicorn --preload, score only", (BROKEN,), HANGS, gunicorn(), "score"),
    ServerCase("langfuse-media", "Langfuse: gunicorn --preload, media upload", (BROKEN,), HANGS, gunicorn(), "media"),
    ServerCase("langfuse-api", "Langfuse: gunicorn --preload, lf.api and score", (BROKEN,), HANGS, gunicorn(), "api"),
    ServerCase(
        "langfuse-gthread", "Langfuse: gunicorn --preload, gthread workers", (BROKEN,), HANGS,
        gunicorn("--worker-class", "gthread", "--threads", "4"), "flush",
    ),
    ServerCase("langfuse-uwsgi", "Langfuse: uWSGI, stock flags", (BROKEN,), HANGS, uwsgi, "flush"),
    TaskCase("langfuse-pool", "Langfuse: multiprocessing.Pool", (BROKEN,), HANGS, "pool"),
    TaskCase("langfuse-executor", "Langfuse: ProcessPoolExecutor", (BROKEN,), HANGS, "executor"),
    CeleryCase("langfuse-celery", "Langfuse: celery, prefork pool", (WITH_CELERY,), HANGS, "celery"),
    ServerCase(
        "langfuse-gevent", "Langfuse: gunicorn --preload, gevent workers", (WITH_GEVENT,), HANGS,
        gunicorn("--worker-class", "gevent"), "flush",
    ),
    ServerCase(
        "langfuse-healed", "Langfuse with its own cure: gunicorn --preload", HEALED, HEALTHY, gunicorn(), "flush",
        HEALED_WITHIN_S,
    ),
]
