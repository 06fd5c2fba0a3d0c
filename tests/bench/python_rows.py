"""The rows of the bench that are Python's: `python_rows.py NAME` prints nanoseconds.

queue-put    Queue.put in a child whose consumer runs (again); the fastest of many batches
child-step   from os.fork() to the first line of the child, 50 lost threads that belong to a runtime; the median of some

The shim knows the consumers as those of the module `bench_consumers` (FORKMEND_PROFILES). Without it the child starts its
consumer itself, so that both measure the same queue.
"""

import os
import queue
import statistics
import struct
import sys
import threading
import time

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


def main(name):
    work = queue.Queue()
    consumers = [start_consumer(work) for _ in range(THREADS if name == "child-step" else 1)]
    if name == "queue-put":
        print(in_child(lambda _: time_of_a_put(work, consumers[0])))
    else:
        print(statistics.median(in_child(float) for _ in range(FORKS)))


main(sys.argv[1])
