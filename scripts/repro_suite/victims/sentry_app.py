"""A WSGI application that set up Sentry at import and has sent an event from there: the master has a connection.

LF_URL is the fake, LF_PENDING an event of the master's. GET /?name=N sends event N and answers with the process.
"""

import os
import time

import sentry_sdk
from wsgi_answer import application_of

sentry_sdk.init(
    os.environ["LF_URL"].replace("://", "://key@") + "/1", default_integrations=False, auto_session_tracking=False)
sentry_sdk.capture_message(os.environ["LF_PENDING"])
sentry_sdk.flush(3)


def hand_over(name):
    began = time.monotonic()
    if name:
        sentry_sdk.capture_message(name)
        sentry_sdk.flush(3)
    return {"pid": os.getpid(), "seconds": time.monotonic() - began, "threads": {}}


application = application_of(hand_over)
