"""The rows of the bench that are Python's: `python_rows.py NAME` prints nanoseconds.

queue-put    Queue.put in a child whose consumer runs (again); the fastest of many batches
request      a request to gunicorn --preload whose worker lost a consumer, of the fastest batch; the second argument is
             preloaded into gunicorn
child-step   from os.fork() to the first line of the child, 50 lost threads that belong to a runtime; the median of some

The shim knows the consumers as those of the module `bench_consumers` (FORKMEND_PROFILES). Without it the child starts its
consumer itself, so that both measure the same queue.
"""

import http.client
import os
import queue
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SITE = HERE.parents[1] / "build" / "site" / ("cp%d%d" % sys.version_info[:2]) / "langfuse-4.12.0"  # has gunicorn
READY_WITHIN_S = 10
REQUEST_BATCHES, REQUESTS = 12, 40

BATCHES, BATCH = 60, 500
FORKS, THREADS = 9, 50


def consume(work):
    while True:
        work.get()
        work.task_done()


consume.__module__ = "bench_consumers"


def start_consumer(work):
    thread = threading.Thread(target=consume, args=(work,), daemon=True)
    thread.start()
    return thread


def in_child(measure):
    """What measure() returns in a child that os.fork made after `started`."""
    reader, writer = os.pipe()
    started = time.monotonic_ns()
    if os.fork() == 0:
        os.write(writer, struct.pack("d", measure(time.monotonic_ns() - started)))
        os._exit(0)
    os.close(writer)
    answer = os.read(reader, 8)
    os.close(reader)
    os.wait()
    return struct.unpack("d", answer)[0]


def time_of_a_put(work, consumer):
    work.put(None)
    if not consumer.is_alive():
        start_consumer(work)
    work.join()
    fastest = None
    for _ in range(BATCHES):
        began = time.monotonic_ns()
        for _ in range(BATCH):
            work.put(None)
        taken = time.monotonic_ns() - began
        fastest = taken if fastest is None else min(fastest, taken)
        work.join()
    return fastest / BATCH


def time_of_a_request(preload):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    if not (SITE / "gunicorn").exists():
        sys.exit("gunicorn is not installed: run scripts/setup repro")
    environment = {**os.environ, "PYTHONPATH": "%s:%s" % (SITE, HERE), "LD_PRELOAD": preload}
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--preload", "--workers", "1", "--log-level", "error", "--bind",
         "127.0.0.1:%d" % port, "gunicorn_app:application"], env=environment)
    try:
        until = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                ask(port)
                break
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
        fastest = None
        for _ in range(REQUEST_BATCHES):
            began = time.monotonic_ns()
            for _ in range(REQUESTS):
                ask(port)
            taken = time.monotonic_ns() - began
            fastest = taken if fastest is None else min(fastest, taken)
        return fastest / REQUESTS
    finally:
        server.terminate()
        server.wait()


def ask(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_WITHIN_S)
    connection.request("GET", "/")
    connection.getresponse().read()
    connection.close()


def main(name):
    if name == "request":
        print(time_of_a_request(sys.argv[2]))
        return
    work = queue.Queue()
    consumers = [start_consumer(work) for _ in range(THREADS if name == "child-step" else 1)]
    if name == "queue-put":
        print(in_child(lambda _: time_of_a_put(work, consumers[0])))
    else:
        print(statistics.median(in_child(float) for _ in range(FORKS)))


if __name__ == "__main__":
    main(sys.argv[1])
