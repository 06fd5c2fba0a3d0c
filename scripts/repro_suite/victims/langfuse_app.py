"""A WSGI application that makes its Langfuse client at import, as applications under gunicorn --preload do.

The environment says what it does: LF_URL (the fake), LF_PREFIX (of its events' names), LF_DO (score, flush, media, api,
span). GET /?name=N hands event N over and answers with the process and Langfuse's live threads by class; GET / answers alone.
Event names begin with "ev-".
"""

import os
import threading
import time
from collections import Counter

from langfuse import Langfuse
from wsgi_answer import application_of

DO = os.environ["LF_DO"]
PREFIX = os.environ["LF_PREFIX"]
TRACE = "0" * 31 + "1"

client = Langfuse(
    public_key="pk-lf-1", secret_key="sk-lf-1", base_url=os.environ["LF_URL"],
    flush_interval=0.2, media_upload_thread_count=1)


def send(name):
    if DO == "media":
        from langfuse.media import LangfuseMedia

        media = LangfuseMedia(content_bytes=(name + "\n").encode() * 20, content_type="text/plain")
        span = client.start_observation(name="span")
        span.update(input=media)
        span.end()
        client.flush()
    elif DO == "span":
        client.start_observation(name=name).end()
        client.flush()
    elif DO == "api":
        client.api.health.health()
        client.create_score(name=name, value=1.0, trace_id=TRACE)
        client.flush()
    else:
        client.create_score(name=name, value=1.0, trace_id=TRACE)
        if DO == "flush":
            client.flush()


# Pending at the fork: the parent's, to be delivered once.
if os.environ.get("LF_PENDING"):
    client.create_score(name=os.environ["LF_PENDING"], value=1.0, trace_id=TRACE)


def hand_over(name):
    """Sends the event, if there is one; says by whom, how long it took and which threads of Langfuse's live then."""
    began = time.monotonic()
    if name:
        send(name)
    classes = [type(thread) for thread in threading.enumerate()]
    threads = Counter(cls.__name__ for cls in classes if cls.__module__.startswith("langfuse"))
    return {"pid": os.getpid(), "seconds": time.monotonic() - began, "threads": threads}


application = application_of(hand_over)
