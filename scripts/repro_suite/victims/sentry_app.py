"""A WSGI application that set up Sentry at import and has sent an event from there: the master has a connection.

LF_URL is the fake, LF_PENDING an event of the master's. GET /?name=N sends event N and answers with the process.
"""

import json
import os
import time
from urllib.parse import parse_qs

import sentry_sdk

sentry_sdk.init(
    os.environ["LF_URL"].replace("://", "://key@") + "/1", default_integrations=False, auto_session_tracking=False)
sentry_sdk.capture_message(os.environ["LF_PENDING"])
sentry_sdk.flush(3)


def application(environ, start_response):
    name = parse_qs(environ["QUERY_STRING"]).get("name")
    began = time.monotonic()
    if name:
        sentry_sdk.capture_message(name[0])
        sentry_sdk.flush(3)
    body = json.dumps({"pid": os.getpid(), "seconds": time.monotonic() - began, "threads": {}}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
