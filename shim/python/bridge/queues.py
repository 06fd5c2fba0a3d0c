"""Queues of lost consumers: empty in the child, and the first put brings the consumers back.

What was in them at the fork belongs to the parent, which still has it: delivering it twice is worse than waiting for the
parent. The trigger is one attribute of the instance, which removes itself: after the first put nothing is left of it.
"""

RETRY_AFTER_S = 1.0  # between two attempts to start threads that could not be started
MOST_KEPT = 10000  # items kept in an unbounded queue meanwhile


def empty(queue):
    """In the child, before any thread. The mutex and the conditions were opened with the other locks."""
    queue.queue.clear()
    queue.unfinished_tasks = 0


def drain_simple(queue):
    """A SimpleQueue cannot be told from inside, and says nothing at put: it is emptied from outside."""
    empty_error = sys.modules["_queue"].Empty
    try:
        while True:
            queue.get_nowait()
    except empty_error:
        pass


def arm(queue, group):
    put = queue._put

    def _put(item):  # under the queue's mutex; catches put, put_nowait, and a put that was bound before
        disarm(queue)
        group.first_enqueue()
        return queue._put(item)

    _put.forkmend_group = group
    _put.forkmend_original = put if "_put" in queue.__dict__ else None
    queue._put = _put


def armed(queue):
    return hasattr(queue.__dict__.get("_put"), "forkmend_group")


def disarm(queue):
    trigger = queue.__dict__.get("_put")
    if not hasattr(trigger, "forkmend_group"):
        return
    if trigger.forkmend_original is None:
        del queue._put
    else:
        queue._put = trigger.forkmend_original  # somebody else's, from before
    if hasattr(queue.__dict__.get("join"), "forkmend_group"):
        del queue.join


def degrade(queue, group):
    """No thread could be started: a put neither raises nor blocks, join() returns, a later put tries again."""
    clock = sys.modules["time"].monotonic
    put = queue._put
    retry_at = clock() + RETRY_AFTER_S

    def _put(item):
        if clock() >= retry_at:
            disarm(queue)
            group.first_enqueue()  # degrades again if it must
            return queue._put(item)
        kept = queue.maxsize - 1 if getattr(queue, "maxsize", 0) > 0 else MOST_KEPT
        while queue._qsize() >= max(kept, 1):
            queue._get()
            queue.unfinished_tasks -= 1
        return put(item)

    def join():
        if clock() >= retry_at:
            disarm(queue)
            group.first_enqueue()
            return queue.join()
        return None

    _put.forkmend_group = join.forkmend_group = group
    _put.forkmend_original = put if "_put" in queue.__dict__ else None
    queue._put, queue.join = _put, join


def arm_methods(value, names, group):
    """For a runtime that takes work by other means than a queue: the first call of one of its methods."""
    armed_names = []
    for name in names:
        if not callable(getattr(type(value), name, None)):
            continue

        def enqueue(*arguments, _name=name, **keywords):
            for other in armed_names:
                value.__dict__.pop(other, None)
            group.first_enqueue()
            return getattr(value, _name)(*arguments, **keywords)

        try:
            setattr(value, name, enqueue)
        except AttributeError:  # __slots__
            continue
        armed_names.append(name)
    return bool(armed_names)
