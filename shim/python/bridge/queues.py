"""Queues of lost consumers: the first put brings the consumers back.

What was in a queue at the fork belongs to the parent, which still has it: delivering it twice is worse than waiting for the
parent. The trigger stands in the place of the condition's deque of waiters, where every notify() and every wait() comes by,
and leaves when it has done its work: the queue and its condition gain no attribute.
"""

import _collections

RETRY_AFTER_S = 1.0  # between two attempts to start threads that could not be started
MOST_KEPT = 10000  # items kept in an unbounded queue meanwhile


def conditions_of(queue):
    return queue.not_empty, queue.not_full, queue.all_tasks_done


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


class Waiters(_collections.deque):
    """A condition's waiters. `on_notify()` is called when someone notifies it, `on_wait(waiter)` when someone waits, both
    with the condition's lock held; None: not any more."""

    __slots__ = ("condition", "on_notify", "on_wait")

    def __bool__(self):  # notify() from 3.10 on
        if self.on_notify is not None:
            self.on_notify()
        return len(self) > 0

    def __iter__(self):  # notify() of 3.8 and 3.9
        if self.on_notify is not None:
            self.on_notify()
        return _collections.deque.__iter__(self)

    def append(self, waiter):
        if self.on_wait is not None:
            self.on_wait(waiter)
        condition = self.condition()
        if self.on_notify is None and self.on_wait is None and condition is not None and condition._waiters is self:
            # Not earlier: a notify() that is under way goes on with the deque that it has found.
            condition._waiters = _collections.deque(_collections.deque.__iter__(self))
            condition._waiters.append(waiter)
        else:
            _collections.deque.append(self, waiter)

    def leave(self):
        self.on_notify = self.on_wait = None


def is_condition(value):
    """threading's own or one that takes over its notify() and wait()."""
    condition = sys.modules["threading"].Condition
    return (getattr(type(value), "notify", None) is condition.notify and getattr(type(value), "wait", None) is
            condition.wait and isinstance(own(value, "_waiters"), _collections.deque))


def watch_condition(condition, on_notify, on_wait):
    waiters = Waiters(_collections.deque.__iter__(condition._waiters))
    waiters.condition, waiters.on_notify, waiters.on_wait = _weakref.ref(condition), on_notify, on_wait
    condition._waiters = waiters
    return waiters


class Point:
    """A queue that is armed: whose groups and takers (evidence.py) come back at its next put."""

    __slots__ = ("queue", "groups", "takers", "inherited", "unfinished", "watched", "put_before")

    def __init__(self, queue):
        self.queue, self.groups, self.takers, self.watched = queue, [], [], []
        self.inherited, self.unfinished = [], 0  # for takers: what was in it at the fork, and not done
        if is_condition(queue.not_empty):
            self.watched.append(watch_condition(queue.not_empty, self.at_put, None))
            self.put_before = None
        else:
            self.put_before = queue.__dict__.get("_put", _nothing)
            put = queue._put

            def _put(item):  # a queue of another make: under its mutex, before the item is in it
                self.at_put()
                return put(item)

            _put.forkmend_point = self
            queue._put = _put

    def at_put(self):
        groups, self.groups = self.groups, []
        for group in groups:
            group.first_enqueue()
        if self.takers:
            handed(self)
        if not self.groups and not self.takers:
            self.leave()

    def remove(self, group):
        if group in self.groups:
            self.groups.remove(group)
        if group in self.takers:
            self.takers.remove(group)
        if not self.groups and not self.takers:
            self.leave()

    def leave(self):
        for waiters in self.watched:
            waiters.leave()
        self.watched, self.inherited = [], []
        if self.put_before is not None:
            if self.put_before is not _nothing:
                self.queue._put = self.put_before  # somebody else's, from before
            else:
                self.queue.__dict__.pop("_put", None)
            self.put_before = None


def point_of(queue):
    """The point of an armed queue, or None."""
    waiters = getattr(queue.not_empty, "_waiters", None)
    if type(waiters) is Waiters and waiters.on_notify is not None:
        return waiters.on_notify.__self__
    return getattr(queue._put, "forkmend_point", None)


def arm(queue, group):
    """Several groups may wait for one queue: stages that hand work on to each other reach the queues of the next."""
    point = point_of(queue) or Point(queue)
    if group not in point.groups:
        point.groups.append(group)


def disarm(queue, group):
    point = point_of(queue)
    if point is not None:
        point.remove(group)
    if getattr(queue._put, "forkmend_group", None) is group:
        original = queue._put.forkmend_original
        if original is None:
            del queue._put
        else:
            queue._put = original
    if getattr(queue.join, "forkmend_group", None) is group:
        del queue.join


def degrade(queue, group):
    """No thread could be started: a put neither raises nor blocks, join() returns, a later put tries again."""
    clock = sys.modules["time"].monotonic
    put = queue._put
    retry_at = clock() + RETRY_AFTER_S

    def _put(item):
        if clock() >= retry_at:
            disarm(queue, group)
            group.first_enqueue()  # degrades again if it must
            return queue._put(item)
        kept = queue.maxsize - 1 if getattr(queue, "maxsize", 0) > 0 else MOST_KEPT
        while queue._qsize() >= max(kept, 1):
            queue._get()
            queue.unfinished_tasks -= 1
        return put(item)

    def join():
        if clock() >= retry_at:
            disarm(queue, group)
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
