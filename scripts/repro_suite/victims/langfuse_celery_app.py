"""The application of a celery worker whose module makes the Langfuse client: before the pool's processes are forked."""

import os
import threading
import time
from collections import Counter

from celery import Celery

import langfuse_app

app = Celery("langfuse", broker=os.environ["BROKER_URL"], backend=os.environ["BROKER_URL"])


@app.task(name="send")
def send(name):
    began = time.monotonic()
    langfuse_app.send(name)
    classes = [type(thread) for thread in threading.enumerate()]
    threads = Counter(cls.__name__ for cls in classes if cls.__module__.startswith("langfuse"))
    return {"event": "task", "name": name, "pid": os.getpid(), "seconds": time.monotonic() - began, "threads": threads}
