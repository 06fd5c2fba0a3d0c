"""The application of a celery worker whose module makes the Langfuse client: before the pool's processes are forked."""

import os

from celery import Celery

import langfuse_app

app = Celery("langfuse", broker=os.environ["BROKER_URL"], backend=os.environ["BROKER_URL"])


@app.task(name="send")
def send(name):
    return {"event": "task", "name": name, **langfuse_app.hand_over(name)}
