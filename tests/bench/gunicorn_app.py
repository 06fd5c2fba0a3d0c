"""The application of the bench's gunicorn row: its consumer thread is made before the workers are forked, and lost there."""

import queue

from python_rows import start_consumer

work = queue.Queue()
start_consumer(work)


def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
