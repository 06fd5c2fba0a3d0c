"""Telemetry SDKs whose client the parent made, used in forked children: `sdk_forks.py SDK NAME…`.

SDK: posthog, segment, sentry, opentelemetry. Each name is an event of one child, which hands it over and waits as the SDK
offers. Says {"event": "ready"}, and {"event": "task", ...} from each child that got to its end.
"""

import json
import os
import signal
import sys
import threading
import time

SDK, NAMES = sys.argv[1], sys.argv[2:]
URL = os.environ["SDK_URL"]
PENDING = os.environ["SDK_PENDING"]
CHILD_ENDS_WITHIN_S = 8.0


def posthog():
    from posthog import Posthog

    client = Posthog("phc_1", host=URL, flush_interval=0.2)
    return lambda name: client.capture(name, distinct_id="somebody"), client.flush


def segment():
    import segment.analytics as analytics

    analytics.write_key, analytics.host, analytics.max_retries = "key", URL, 1
    return lambda name: analytics.track("somebody", name), analytics.flush


def sentry():
    import sentry_sdk

    sentry_sdk.init(URL.replace("://", "://key@") + "/1", default_integrations=False, auto_session_tracking=False)
    return sentry_sdk.capture_message, lambda: sentry_sdk.flush(3)


def opentelemetry():
    """1.5 with an exporter of our own that posts the names: its own ones need grpc."""
    import http.client
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Exporter(SpanExporter):
        def export(self, spans):
            connection = http.client.HTTPConnection(URL.split("//")[1])
            connection.request("POST", "/v1/traces", " ".join(span.name for span in spans).encode())
            connection.getresponse().read()
            return SpanExportResult.SUCCESS

        def shutdown(self):
            pass

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Exporter(), schedule_delay_millis=200))
    tracer = provider.get_tracer("victim")
    return lambda name: tracer.start_span(name).end(), provider.force_flush


def say(event):
    os.write(1, json.dumps(event).encode() + b"\n")


def child(send, flush, name):
    began = time.monotonic()
    send(name)
    flush()
    threads = threading.active_count() - 1
    say({"event": "task", "name": name, "pid": os.getpid(), "seconds": time.monotonic() - began,
         "threads": {"all": 1 if threads <= expected else threads}})


send, flush = {"posthog": posthog, "segment": segment, "sentry": sentry, "opentelemetry": opentelemetry}[SDK]()
send(PENDING + "-first")
flush()  # the connection exists, the thread runs
expected = threading.active_count() - 1
say({"event": "ready"})
send(PENDING)
for name in NAMES:
    pid = os.fork()
    if pid == 0:
        child(send, flush, name)
        os._exit(0)
    until = time.monotonic() + CHILD_ENDS_WITHIN_S
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)
flush()
os._exit(0)
