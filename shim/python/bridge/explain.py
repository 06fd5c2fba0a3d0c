"""Why a wait can never end, known by the object that is waited for. Loaded in a process that is stuck already.

Each answer is (cause, text, kernel id of the lost thread in its process, runtime, module).
"""

import gc

NOTHING = ("", "", 0, "", "")


def explain(frame):
    for _ in range(5):  # Lock.acquire, Condition.wait, and the call of the program's
        if frame is None:
            break
        waited = frame.f_locals.get("self") if frame.f_code.co_argcount else None
        name = frame.f_code.co_name
        if name in ("join", "put") and waited is not None and is_queue(waited):
            return of_queue(waited, name)
        if name in ("result", "exception") and hasattr(waited, "_condition") and hasattr(waited, "_state"):
            return of_future(waited, name)
        if name == "join" and isinstance(waited, sys.modules["threading"].Thread):
            return of_thread(waited)
        frame = frame.f_back
    return NOTHING


def answer(cause, text, record):
    thread = record.thread()
    module = ""
    if thread is not None:
        module = next((name for name in modules_of(thread) if name), "")
    return cause, text, record.native_id, record.runtime, module


def others():
    """Live threads besides this one."""
    threading = sys.modules["threading"]
    own = _thread.get_ident()
    return [thread for thread in threading.enumerate() if thread.ident != own]


def queue_it_waits_on(frame):
    """The queue.Queue, or one of its copies, that a thread is inside get() of."""
    for _ in range(4):  # Lock.acquire, Condition.wait, Queue.get
        if frame is None:
            return None
        if frame.f_code.co_name == "get":
            queue = frame.f_locals.get("self")
            return queue if is_queue(queue) else None
        frame = frame.f_back
    return None


def consumes(thread, queue):
    frame = sys._current_frames().get(thread.ident)
    if queue_it_waits_on(frame) is queue:
        return True
    return any(found is queue for found in reach(roots_of(thread)).queues)


def of_queue(queue, call):
    if call == "join" and not queue.unfinished_tasks:
        return NOTHING
    mine = []
    for record in lost:
        thread = record.thread()
        if thread is not None and thread.is_alive():
            continue  # it was started again
        if thread is not None and any(found is queue for found in reach(roots_of(thread)).queues):
            mine.append(record)
    if not mine or any(consumes(thread, queue) for thread in others()):
        return NOTHING
    names = ", ".join('"%s"' % record.name for record in mine[:3])
    text = "%s.%s: the only consumer%s of the queue, %s, did not survive; %d task(s) unfinished" % (
        type(queue).__name__, call, "" if len(mine) == 1 else "s", names, queue.unfinished_tasks)
    return answer("lost-consumer", text, mine[0])


def of_future(future, call):
    workers = sys.modules.get("concurrent.futures.thread")
    if workers is None:
        return NOTHING
    alone = not others()
    for record in lost:
        thread = record.thread()
        if thread is None or thread.__dict__.get("_target") is not workers._worker or thread.is_alive():
            continue
        for executor in executors_of(thread):
            if any(worker.is_alive() for worker in list(executor._threads)):
                continue
            if _holds(executor._work_queue, future) or alone and future._state == "RUNNING":
                text = "Future.%s: it was given to an executor whose %d worker(s) did not survive" % (
                    call, len(executor._threads) or 1)
                return answer("lost-workers", text, record)
    return NOTHING


def _holds(queue, future):
    level = [queue]
    for _ in range(4):  # SimpleQueue, its list, work items, until 3.10 their dicts
        deeper = []
        for value in level:
            for part in gc.get_referents(value):
                if part is future:
                    return True
                if type(part).__name__ in ("_WorkItem", "list", "dict"):
                    deeper.append(part)
        level = deeper
    return False


def of_thread(thread):
    """Also after a fork that nobody announced, when threading believes in threads that are gone."""
    native = thread.native_id
    tasks = sys.modules["posix"].listdir("/proc/self/task")
    if native is None or str(native) in tasks:
        return NOTHING
    record = LostThread(thread, runtime_of(thread))
    text = 'Thread.join: "%s" ran only in the parent and cannot end here' % record.name
    return answer("join-of-lost-thread", text, record)
