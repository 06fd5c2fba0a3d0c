"""HTTP connection pools, executors and event loops, as a child needs them: without what lost threads had in their hands.

Each is known by its shape; one that looks otherwise is left as it is.
"""


def reset_pool(pool):
    """A connection in a lost thread's hands never comes back to its pool; those that idle are the parent's."""
    parts = getattr(pool, "__dict__", {})
    if type(pool).__module__.split(".")[0] == "httpcore":
        for name in ("_connections", "_requests"):
            if type(parts.get(name)) is list:
                parts[name].clear()
        return
    spares = parts.get("pool")  # urllib3 and its copies: a LifoQueue of connections or None
    if spares is None or "ConnectionCls" not in dir(type(pool)):
        return
    open_orphan(spares.not_empty, ())
    for condition in (spares.not_empty, spares.not_full, spares.all_tasks_done):
        condition._waiters.clear()
    spares.queue[:] = [None] * spares.maxsize


def executors_of(thread):
    """The executors that a worker thread serves."""
    workers = sys.modules["concurrent.futures.thread"]
    for argument in thread.__dict__.get("_args") or ():
        if isinstance(argument, _weakref.ref):
            argument = argument()
            if isinstance(argument, workers.ThreadPoolExecutor):
                yield argument


def reset_executor(executor):
    """Without workers it starts some at the next submit, by itself. Its pending work is the parent's."""
    threading, queue = sys.modules["threading"], sys.modules["queue"]
    executor._threads.clear()
    executor._idle_semaphore = threading.Semaphore(0)
    executor._work_queue = queue.SimpleQueue()
    executor._shutdown_lock = threading.Lock()


def forget_worker(thread):
    sys.modules["concurrent.futures.thread"]._threads_queues.pop(thread, None)


def loop_of(thread):
    """The event loop whose run_forever is the thread's target."""
    target = thread.__dict__.get("_target")
    loop = getattr(target, "__self__", None)
    return loop if loop is not None and _kind(type(loop)) == "loops" else None


def reset_loop(loop):
    """Its selector and its self-pipe are shared with the parent: new ones. Its callbacks are the parent's."""
    old = (loop._selector, loop._ssock, loop._csock)
    loop._thread_id = None
    loop._ready.clear()
    loop._scheduled.clear()
    loop._selector = type(loop._selector)()
    loop._internal_fds = 0
    loop._make_self_pipe()
    for part in old:  # closes this process's descriptors alone
        part.close()
