"""Queues of lost consumers: empty in the child, and the first put brings the consumers back.

What was in them at the fork belongs to the parent, which still has it: delivering it twice is worse than waiting for the
parent. The trigger is one attribute of the instance, which removes itself: after the first put nothing is left of it.
"""

RETRY_AFTER_S = 1.0  # between two attempts to start threads that could not be started
MOST_KEPT = 10000  # items kept in an unbounded queue meanwhile


def conditions_of(queue):
    for condition in (queue.not_empty, queue.not_full, queue.all_tasks_done):
        yield condition.condition if type(condition) is Trigger else condition


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


class Trigger:
    """Stands for the condition not_empty until the first put notifies it, with the queue's mutex held."""

    __slots__ = ("queue", "group", "condition")

    def __init__(self, queue, group):
        self.queue, self.group, self.condition = queue, group, queue.not_empty

    def notify(self, n=1):
        disarm(self.queue)
        self.group.first_enqueue()
        self.condition.notify(n)

    def __enter__(self):
        return self.condition.__enter__()

    def __exit__(self, *exception):
        return self.condition.__exit__(*exception)

    def __getattr__(self, name):
        return getattr(self.condition, name)


def arm(queue, group):
    """An attribute that is there is exchanged and put back: an additional one would cost the queue its compact state."""
    put_of_queues = getattr(sys.modules.get("queue"), "Queue", Trigger).__dict__.get("put")
    if getattr(type(queue), "put", None) is put_of_queues and type(queue.not_empty) is sys.modules["threading"].Condition:
        queue.not_empty = Trigger(queue, group)
    else:
        arm_put(queue, group)


def arm_put(queue, group):
    """A queue of another make."""
    put = queue._put

    def _put(item):  # under the queue's mutex; catches put, put_nowait, and a put that was bound before
        disarm(queue)
        group.first_enqueue()
        return queue._put(item)

    _put.forkmend_group = group
    _put.forkmend_original = put if "_put" in queue.__dict__ else None
    queue._put = _put


def armed(queue):
    return type(queue.not_empty) is Trigger or hasattr(queue._put, "forkmend_group")


def disarm(queue):
    if type(queue.not_empty) is Trigger:
        queue.not_empty = queue.not_empty.condition
        return
    trigger = queue._put
    if not hasattr(trigger, "forkmend_group"):
        return
    if trigger.forkmend_original is None:
        del queue._put
    else:
        queue._put = trigger.forkmend_original  # somebody else's, from before
    if hasattr(queue.join, "forkmend_group"):
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
