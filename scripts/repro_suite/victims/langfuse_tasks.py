"""Hands events to a Langfuse client of the parent's from tasks in forked processes: `langfuse_tasks.py pool|executor NAME…`.

Says {"event": "ready"} once the client is there, and {"event": "task", ...} for each task that ended.
"""

import concurrent.futures
import json
import multiprocessing
import sys

import langfuse_app


def task(name):
    return {"event": "task", "name": name, **langfuse_app.hand_over(name)}


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
