"""Hands events to a Langfuse client of the parent's from tasks in forked processes: `langfuse_tasks.py pool|executor NAME…`.

Says {"event": "ready"} once the client is there, and {"event": "task", ...} for each task that ended.
"""

import concurrent.futures
import json
import multiprocessing
import os
import sys
import threading
import time
from collections import Counter

import langfuse_app


def task(name):
    began = time.monotonic()
    langfuse_app.send(name)
    threads = Counter(type(thread).__name__ for thread in threading.enumerate() if is_langfuses(thread))
    return {"event": "task", "name": name, "pid": os.getpid(), "seconds": time.monotonic() - began, "threads": threads}


def is_langfuses(thread):
    return type(thread).__module__.startswith("langfuse")


def say(event):
    print(json.dumps(event), flush=True)


def main():
    via, names = sys.argv[1], sys.argv[2:]
    context = multiprocessing.get_context("fork")
    say({"event": "ready"})
    if via == "pool":
        with context.Pool(2) as pool:
            for answer in pool.imap_unordered(task, names):
                say(answer)
            pool.close()
            pool.join()
    else:
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
            for answer in executor.map(task, names):
                say(answer)
    # The parent's own event is delivered by its own thread.
    langfuse_app.client.flush()


main()
