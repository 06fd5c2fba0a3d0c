"""Other pure-Python SDKs whose threads do not survive a fork: events of children lost, flush() hangs.

A client made and used in the parent, an event pending at each fork, a child that hands over an event and flushes. Sentry
starts its thread again by itself and shares its parent's connection; the others do neither.
"""

from __future__ import annotations

from repro_suite import places
from repro_suite.case import ANYTHING, Case, Expectation, Trial
from repro_suite.cases.langfuse import SERVERS, ServerCase, TaskCase, gunicorn
from repro_suite.interpreters import Interpreter
from repro_suite.packages import PackageSet

SDKS = PackageSet(
    "python-sdks", "1",
    ("posthog==6.0.0", "segment-analytics-python==2.4.0", "sentry-sdk==2.75.0", "opentelemetry-sdk==1.5.0",
     "setuptools<81"),
)
SENTRY = PackageSet("sentry-sdk", "2.75.0", ("sentry-sdk==2.75.0", SERVERS[0]))


class SdkCase(TaskCase):
    def __init__(self, sdk: str, title: str, expectation: Expectation):
        super().__init__("python-" + sdk, title, (SDKS,), expectation, sdk)

    def _victim(self, trial: Trial, url: str, prefix: str, pending: str, names: list[str]):
        argv = trial.victim_argv(places.VICTIMS / "sdk_forks.py", self._via, *names)
        return argv, {**trial.environment, "SDK_URL": url, "SDK_PENDING": pending}

    def supports(self, interpreter: Interpreter) -> bool:
        return interpreter.version >= (3, 9)  # posthog's own floor


LOSES = Expectation(0.9)
# Its own cure works in most forks; two processes that write on one connection at once are a matter of luck.
SHARES = ANYTHING
CASES: list[Case] = [
    SdkCase("posthog", "PostHog 6.0: capture and flush in forked children", LOSES),
    SdkCase("segment", "Segment 2.4: track and flush in forked children", LOSES),
    SdkCase("sentry", "Sentry 2.75: a shared connection in forked children", SHARES),
    ServerCase(
        "python-sentry-server", "Sentry 2.75: gunicorn --preload, the master's connection", (SENTRY,), SHARES,
        gunicorn(application="sentry_app:application"), "flush",
    ),
    SdkCase("opentelemetry", "OpenTelemetry 1.5: spans and force_flush in forked children", LOSES),
]
