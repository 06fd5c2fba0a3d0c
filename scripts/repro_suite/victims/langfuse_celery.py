"""Hands events to a Langfuse client from celery's prefork pool: `langfuse_celery.py NAME…`.

Starts a worker as operators do, sends it the tasks, and says {"event": "ready"} once it answers and {"event": "task", ...}
for each task that ended. The broker is at BROKER_URL.
"""

import json
import os
import signal
import subprocess
import sys
import time

from celery import Celery

READY_WITHIN_S = 60
TASK_WITHIN_S = 8


def say(event):
    print(json.dumps(event), flush=True)


def main(names):
    app = Celery("sender", broker=os.environ["BROKER_URL"], backend=os.environ["BROKER_URL"])
    # Its stdout is ours for events alone.
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "--workdir", os.path.dirname(__file__), "-A", "langfuse_celery_app", "worker",
         "--pool", "prefork", "--concurrency", "2", "--loglevel", "ERROR"], stdout=2)
    until = time.monotonic() + READY_WITHIN_S
    while not app.control.ping(timeout=0.5):
        if time.monotonic() > until or worker.poll() is not None:
            sys.exit("the worker does not answer")
    say({"event": "ready"})
    for answer in [app.send_task("send", (name,)) for name in names]:
        say(answer.get(timeout=TASK_WITHIN_S))
    worker.send_signal(signal.SIGTERM)
    sys.exit(worker.wait())


main(sys.argv[1:])
