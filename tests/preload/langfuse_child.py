"""A Langfuse client made in the parent, a fork at a bad moment, and a child that uses the client: `langfuse_child.py CASE URL PREFIX`.

The child ends with a code for each step; what arrived at the fake is the test's to compare. Python 3.10 and later.
"""

import os
import resource
import sys
import threading
import time

import steps

CASE, URL, PREFIX = sys.argv[1:4]
TRACE = "0" * 31 + "1"
SILENT, UNSTARTED, MUTEX, THREADS, SLOW = 2, 3, 4, 5, 6

import httpx  # noqa: E402
from langfuse import Langfuse  # noqa: E402
from langfuse._client.resource_manager import LangfuseResourceManager  # noqa: E402


def new_client(**options):
    return Langfuse(public_key="pk-lf-1", secret_key="sk-lf-1", base_url=URL, flush_interval=0.2, **options)


def score(client, who):
    client.create_score(name="ev-%s-%s" % (PREFIX, who), value=1.0, trace_id=TRACE)


def consumers():
    return [thread for thread in threading.enumerate() if type(thread).__name__ == "ScoreIngestionConsumer"]


def use(client, who="child"):
    """What every child does: an event, and the wait for it."""
    began = time.monotonic()
    steps.step("uses")
    score(client, who)
    client.flush()
    if time.monotonic() - began > 1.5:
        return SLOW
    return 0 if len(consumers()) == 1 else THREADS


class Holder(threading.Thread):
    """Another thread that holds a lock at the fork."""

    def __init__(self, lock):
        super().__init__(daemon=True)
        self.lock, self.taken, self.free = lock, threading.Event(), threading.Event()
        self.start()
        self.taken.wait()

    def run(self):
        with self.lock:
            self.taken.set()
            self.free.wait()


def queue_of(client):
    return client._resources._score_ingestion_queue


def pool_lock(http):
    return http._transport._pool._optional_thread_lock._lock


def held_by_another(lock_of, body=use):
    client = new_client()
    score(client, "before")
    client.flush()  # the connection is in its pool now
    holder = Holder(lock_of(client))
    pid = steps.spawn(lambda: body(client))
    holder.free.set()
    holder.join()
    return client, pid


def class_rlock():
    def body(client):
        steps.step("uses")
        return use(new_client())  # the constructor takes the class's lock

    return held_by_another(lambda client: LangfuseResourceManager._lock, body)


def queue_mutex():
    return held_by_another(lambda client: queue_of(client).mutex)


def http_pool():
    return held_by_another(lambda client: pool_lock(client._resources.httpx_client))


def mid_post():
    """The test made the fake slow: the consumer is inside its POST when the fork comes."""
    client = new_client()
    score(client, "pending")
    time.sleep(0.4)  # the flush interval is 0.2 s: no event tells that a request is on its way
    return client, steps.spawn(lambda: use(client))


def forker_rlock():
    client = new_client()
    with LangfuseResourceManager._lock:
        pid = steps.fork_inside()
        if pid == 0:
            client2 = new_client()
    if pid == 0:
        os._exit(use(client2))
    return client, pid


def forker_mutex():
    client = new_client()
    mutex = queue_of(client).mutex
    with mutex:
        pid = steps.fork_inside()
        held = mutex.locked()
    if pid == 0:
        os._exit(use(client) if held else MUTEX)
    return client, pid


def own_client():
    http = httpx.Client(timeout=5)
    client = new_client(httpx_client=http)
    score(client, "before")
    client.flush()

    def body():
        code = use(client)
        return code or (0 if http.get(URL + "/api/public/health").status_code == 200 else SILENT)

    return client, steps.spawn(body)


def eagain():
    """No thread can be started in the child, for a while: nothing raises, nothing hangs, and then the event arrives."""
    client = new_client()
    score(client, "before")
    client.flush()

    def body():
        soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, hard))
        os.setuid(65534)
        steps.step("uses")
        try:
            threading.Thread(target=print).start()
            return UNSTARTED  # the limit does nothing here
        except RuntimeError:
            pass
        began = time.monotonic()
        score(client, "child")
        client.flush()
        if time.monotonic() - began > 1.5:
            return SLOW
        resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
        time.sleep(1.1)  # the shim tries again a second later
        score(client, "child-2")
        client.flush()
        return 0 if len(consumers()) == 1 else THREADS

    return client, steps.spawn(body)


def stopped():
    """Stopped before the fork: it stays so."""
    client = new_client()
    score(client, "before")
    client.shutdown()

    def body():
        steps.step("uses")
        return 0 if not consumers() else THREADS

    return None, steps.spawn(body)


CASES = {"class-rlock": class_rlock, "queue-mutex": queue_mutex, "http-pool": http_pool, "mid-post": mid_post,
         "forker-rlock": forker_rlock, "forker-mutex": forker_mutex, "own-client": own_client, "eagain": eagain,
         "stopped": stopped, "plain": lambda: held_by_another(lambda client: threading.Lock())}


def main():
    client, pid = CASES[CASE]()
    if client is not None:
        score(client, "parent")
        client.flush()
    os._exit(steps.reap(pid, 8.0))


main()
