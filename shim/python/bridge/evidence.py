"""Lost threads that nobody named: one begins again when the child puts something where it takes from, and by nothing else.

A taker is a lost thread and what it takes from: queues, a condition or event that it waited on with a store of work
beside it, the event loop that ran in it. In the child nothing is changed until then: no queue is emptied, no lock that is the
program's is opened, no connection is closed. A child that takes from the queue itself, or whose library has started a thread
for it, is left alone.

Not seen: work that is handed over by an append alone (a list that a thread looks into from time to time), and a put by a
method that was bound to a SimpleQueue before the fork.
"""

import gc
import types

NEAR_OBJECTS = 4000  # looked at for one fork, over all threads: some 5 ms
LARGEST_NEAR = 64  # a container with more is a store of items
MOST_FUNCTIONS = 200  # of a thread's code

_TAKING = {"get", "get_nowait", "get_many", "popleft", "pop"}
_WAITING = {"wait", "wait_for", "acquire"}
_LOOPING = {"run_forever", "run_until_complete"}

restarted = []  # weak references to threads that were brought back here


class Taker:
    __slots__ = ("thread", "queues", "simple_queues", "conditions", "loops", "state", "retry_at", "__weakref__")

    name = BY_EVIDENCE
    runtime = (BY_EVIDENCE, "callback", (), ())

    def __init__(self, thread):
        self.thread = thread
        self.queues, self.simple_queues, self.conditions, self.loops = [], [], [], []
        self.state, self.retry_at = "waiting", 0.0

    def first_enqueue(self):  # of a loop: see arm_methods
        begin([self])

    def forget(self):
        """It takes from nothing any more: its points go, where nobody else waits for them."""
        for queue in self.queues:
            point = point_of(queue)
            if point is not None:
                point.remove(self)
        for queue in self.simple_queues:
            unwatch_simple(queue, self)
        for condition in self.conditions:
            watched = watched_by(condition)
            if watched is not None:
                watched.remove(self)


# --- in the parent -----------------------------------------------------------------------------------------


class Near:
    __slots__ = ("queues", "simple_queues", "conditions", "stores", "loops", "classes")

    def __init__(self):
        for name in self.__slots__:
            setattr(self, name, [])


def near(thread, budget):
    """What lies within QUEUE_DEPTH of a thread's roots."""
    found, seen, level, depth = Near(), set(), roots_of(thread), 0
    while level and depth <= QUEUE_DEPTH:
        deeper = []
        while level:
            value = level.pop()
            if id(value) in seen:
                continue
            seen.add(id(value))
            budget.left -= 1
            if budget.left <= 0:
                return found
            kind = _kind(type(value))
            if kind == "nothing":
                continue
            if kind == "container":
                _look_into(value, found, level)
            elif kind == "object":
                if depth < QUEUE_DEPTH:
                    deeper.extend(gc.get_referents(value))
                    if isinstance(type(value).__module__, str):
                        found.classes.append(type(value))
            elif kind == "queue":
                if is_queue(value):
                    found.queues.append(value)
            elif kind == "function":
                level.extend(cell for cell in value.__closure__ or ())
                level.extend(value.__defaults__ or ())
            elif kind == "reference":
                level.append(value())
            elif kind == "simple_queues":
                found.simple_queues.append(value)
            elif kind == "loops":
                found.loops.append(value)
            elif kind == "locks":
                condition = value if is_condition(value) else own(value, "_cond")
                if condition is not None and is_condition(condition):
                    found.conditions.append(condition)
            elif kind == "cell":
                try:
                    level.append(value.cell_contents)
                except ValueError:  # empty
                    pass
        level, depth = deeper, depth + 1
    return found


def _look_into(value, found, level):
    cls = type(value)
    if cls is types.MethodType:
        level.append(value.__self__)
        level.append(value.__func__)
        return
    if not hasattr(value, "__len__"):
        return
    size = len(value)
    # An empty list is one that work may be put into; what a full one holds may be settings.
    if cls is _collections.deque or cls in (list, dict, set) and size == 0:
        found.stores.append(value)
    if size <= LARGEST_NEAR:
        level.extend(gc.get_referents(value))


_known_names = {}  # id of a thread: (weak reference to it, names that its code uses)


def names_of(thread, classes):
    known = _known_names.get(id(thread))
    if known is None or known[0]() is not thread:
        for key in [key for key, (reference, _) in list(_known_names.items()) if reference() is None]:
            del _known_names[key]
        known = _known_names[id(thread)] = (_weakref.ref(thread), _used_names(thread, classes))
    return known[1]


def _static(cls, name):
    """What a class has under a name, without asking its descriptors."""
    for base in cls.__mro__:
        if name in base.__dict__:
            value = base.__dict__[name]
            return getattr(value, "__func__", value) if type(value) in (staticmethod, classmethod) else value
    return None


def _used_names(thread, classes):
    """Names in the code of the thread's target and of what that calls in its own package."""
    target = thread.__dict__.get("_target")
    if target is None:
        target = thread.__dict__.get("function")
    for _ in range(4):  # functools.partial of functools.partial
        target = getattr(target, "func", target)
    owner = getattr(target, "__self__", thread)
    first = getattr(target, "__func__", target)
    if first is None:
        first = _static(type(thread), "run")
    elif not isinstance(first, types.FunctionType):
        owner, first = target, _static(type(target), "__call__")
    if not isinstance(first, types.FunctionType):
        return frozenset()
    package = (first.__module__ or "").partition(".")[0]
    owners = [cls for cls in [type(owner)] + classes if cls.__module__ not in sys.builtin_module_names]
    names, seen, work = set(), set(), [first]
    while work and len(seen) < MOST_FUNCTIONS:
        function = work.pop()
        if function in seen:
            continue
        seen.add(function)
        for name in _names_in(function.__code__):
            names.add(name)
            called = [function.__globals__.get(name)]
            called.extend(_static(cls, name) for cls in owners)
            for value in called:
                if isinstance(value, types.FunctionType) and (value.__module__ or "").partition(".")[0] == package:
                    work.append(value)
    return frozenset(names)


def _names_in(code):
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)


class Plan:
    """A fork that is under way."""

    __slots__ = ("takers", "stores", "locks", "left", "waits")

    def __init__(self):
        self.takers = []
        self.stores = {}  # id of a condition: {id of a store beside it: (store, what is in it)}
        self.locks = {}  # inner locks of what they take from, by id
        self.left = NEAR_OBJECTS
        self.waits = _all_waits()

    def add(self, thread):
        found = near(thread, self)
        if not (found.queues or found.simple_queues or found.conditions or found.loops):
            return
        taker = Taker(thread)
        at = self.waits.get(thread.native_id, 0)
        taker.queues = [queue for queue in found.queues if at and _stands_at(queue.not_empty, at)]
        taker.simple_queues = [queue for queue in found.simple_queues if at and at == _first_word(queue)]
        if not taker.queues and not taker.simple_queues:
            self._by_its_code(taker, found, at)
        if taker.queues or taker.simple_queues or taker.conditions or taker.loops:
            self.takers.append(taker)

    def _by_its_code(self, taker, found, at):
        """Where it stands is not known, or is between two takes."""
        names = names_of(taker.thread, found.classes)
        if names & _TAKING:
            taker.queues = [queue for queue in found.queues if not (at and _stands_at(queue.not_full, at))]
            taker.simple_queues = found.simple_queues
        if found.stores and names & _WAITING:
            exact = [condition for condition in found.conditions if at and _stands_at(condition, at)]
            taker.conditions = exact or found.conditions
        if names & _LOOPING:
            taker.loops = [loop for loop in found.loops if getattr(loop, "_thread_id", None) == taker.thread.ident]
        for condition in taker.conditions:
            beside = self.stores.setdefault(id(condition), {})
            for store in found.stores:
                beside[id(store)] = store, list(store) if type(store) is _collections.deque else ()

    def hold_internals(self, fork):
        """So that no thread is inside of a queue or a condition at the fork."""
        if not need("sections") or not place():
            return
        for taker in self.takers:
            for lock in [queue.mutex for queue in taker.queues] + [condition._lock for condition in taker.conditions]:
                if type(lock) in (_thread.LockType, _thread.RLock) and id(lock) not in self.locks:
                    self.locks[id(lock)] = lock
                    fork.holds.append((lock, OWNER_OF_LOCK, id(lock) not in _slow))

    def open_late(self, fork):
        """In the child: what a lost thread kept, and the forking thread does not hold itself."""
        late = [held for (held, _, _), result in zip(fork.holds, fork.results) if result < 0 and id(held) in self.locks]
        if late and need("locks"):
            kept = kept_by_forker(late)
            for lock in late:
                open_orphan(lock, kept)


def _stands_at(condition, address):
    """Whether the thread that waits at this address is one of a condition's waiters: each of them is a lock of its own."""
    return is_condition(condition) and any(
        type(waiter) is _thread.LockType and _first_word(waiter) == address
        for waiter in _collections.deque.__iter__(condition._waiters))


def takers_of(threads, fork):
    """In the parent, at each fork: the plan for those of the lost threads that may come back, or None."""
    if not threads or _is_green() or not _has_gil:
        return None
    plan = Plan()
    for thread in threads:
        try:
            if not is_finished(thread):
                plan.add(thread)
        except Exception as error:
            _problem("%r is left as it is: %r" % (thread._name, error))
    if not plan.takers:
        return None
    plan.hold_internals(fork)
    return plan


def _is_green():
    """Where threads are greenlets a lost one is not lost, and what looks like a new one runs inside of start()."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    return (gevent is not None and gevent.is_module_patched("threading")
            or eventlet is not None and eventlet.is_monkey_patched("thread"))


_has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()  # its build without has other objects


# --- in the child ------------------------------------------------------------------------------------------


def arm_takers(plan, fork):
    """On entry: light. The waiters that a condition remembers are gone, or a notify() would wake one of them."""
    plan.open_late(fork)
    for taker in plan.takers:
        try:
            _arm_taker(taker, plan)
        except Exception as error:
            _problem("%r is left as it is: %r" % (taker.thread._name, error))
    if _verbose:
        _say("%s: %d lost thread(s) come back if something is put where they take from" % (
            BY_EVIDENCE, len(plan.takers)))


def _arm_taker(taker, plan):
    for queue in taker.queues:
        point = point_of(queue)
        if point is None:
            for condition in conditions_of(queue):
                if is_condition(condition):
                    condition._waiters.clear()
            point = Point(queue)
            _watch_ends(point)
        point.inherited, point.unfinished = list(queue.queue), queue.unfinished_tasks
        point.takers.append(taker)
    for queue in taker.simple_queues:
        watch_simple(queue, taker)
    for condition in taker.conditions:
        watched = watched_by(condition)
        if watched is None:
            condition._waiters.clear()
            watched = Watched(condition)
        watched.stores = list(plan.stores[id(condition)].values())
        watched.takers.append(taker)
    for loop in taker.loops:
        arm_methods(loop, ("call_soon_threadsafe",), taker)


# A queue


def _watch_ends(point):
    """The child may also wait where only its lost consumers could end the wait."""
    queue = point.queue
    if point.watched:
        point.watched[0].on_wait = lambda waiter: _served_here(point)
    if is_condition(queue.all_tasks_done):
        point.watched.append(watch_condition(queue.all_tasks_done, None, lambda waiter: _joined(point, waiter)))
    if is_condition(queue.not_full) and getattr(queue, "maxsize", 0) > 0:
        point.watched.append(watch_condition(queue.not_full, None, lambda waiter: _full(point, waiter)))


def _served_here(point):
    """A thread of the child takes from the queue."""
    for taker in list(point.takers):
        if not _is_ours():
            point.remove(taker)


def _is_ours():
    current = sys.modules["threading"].current_thread()
    return any(reference() is current for reference in restarted)


def _alone():
    return len(sys.modules["posix"].listdir("/proc/self/task")) == 1


def _joined(point, waiter):
    """join(): what is unfinished was put in the parent, and nobody here could finish it."""
    if point.takers and _alone():
        _drop_inherited(point)
        if not point.queue.unfinished_tasks:
            waiter.release()


def _full(point, waiter):
    """put() waits for room that only lost consumers would make."""
    if point.takers and _alone():
        _drop_inherited(point)
        begin(list(point.takers))
        if len(point.queue.queue) < point.queue.maxsize:
            waiter.release()


def _drop_inherited(point):
    queue, inherited = point.queue, {id(item) for item in point.inherited}
    _drop(queue.queue, inherited)
    queue.unfinished_tasks = max(0, queue.unfinished_tasks - point.unfinished)
    point.inherited, point.unfinished = [], 0


def _drop(store, items):
    """Order stays; a heap stays one: the parent's items are taken out, all others are the child's."""
    if not items:
        return
    kept = [item for item in store if id(item) not in items]
    store.clear()
    store.extend(kept)
    if type(store) is list:
        sys.modules["heapq"].heapify(store) if "heapq" in sys.modules else store.sort()


def handed(point):
    """Something was put into a queue, with its mutex held."""
    queue, before = point.queue, len(point.inherited)
    new = 1 if point.put_before is None else 0
    if len(queue.queue) < before + new and getattr(queue.queue, "maxlen", None) is None:
        for taker in list(point.takers):  # the child has taken from it by itself
            point.remove(taker)
        return
    todo = waiting(point.takers, (queue,))
    if todo:
        _drop_inherited(point)
    begin(list(point.takers), todo)


# A SimpleQueue: its type is another one until the first put, since the interpreter does not let its put be set.

_simple_points = {}  # id of a queue: its SimplePoint
_simple_types = []  # (SimpleQueue, the type that notices)


def simple_types():
    if not _simple_types:
        base = sys.modules["_queue"].SimpleQueue

        class SimpleQueue(base):
            __slots__ = ()
            __module__ = base.__module__
            __qualname__ = base.__qualname__

            def put(self, item, block=True, timeout=None):
                simple_handed(self)
                return base.put(self, item, block, timeout)

            def put_nowait(self, item):
                simple_handed(self)
                return base.put_nowait(self, item)

            def get(self, block=True, timeout=None):
                simple_taken(self)
                return base.get(self, block, timeout)

            def get_nowait(self):
                simple_taken(self)
                return base.get_nowait(self)

        _simple_types.append((base, SimpleQueue))
    return _simple_types[0]


class SimplePoint:
    __slots__ = ("reference", "takers", "groups", "inherited")

    def __init__(self, queue):
        key = id(queue)
        self.reference = _weakref.ref(queue, lambda reference: _simple_points.pop(key, None))
        self.takers, self.groups, self.inherited = [], [], 0


def watch_simple(queue, taker=None, group=None):
    """False if it cannot be: its consumers come back by nothing that it shows."""
    base, noticing = simple_types()
    if not _has_gil or any(getattr(base, part) != getattr(noticing, part) for part in (
            "__basicsize__", "__itemsize__", "__dictoffset__", "__weakrefoffset__")):
        return False
    point = _simple_points.get(id(queue))
    if point is None or point.reference() is not queue:
        if not _set_type(queue, base, noticing, _is_heap(base), 1):
            return False
        point = _simple_points[id(queue)] = SimplePoint(queue)
    if taker is not None:
        point.takers.append(taker)
    if group is not None and group not in point.groups:
        point.groups.append(group)
    point.inherited = queue.qsize()
    return True


def _is_heap(cls):
    return 1 if cls.__flags__ & (1 << 9) else 0  # Py_TPFLAGS_HEAPTYPE: an instance holds a reference to it


def unwatch_simple(queue, waits=None):
    """One taker or group, or None for all: it is left to itself."""
    point = _simple_points.get(id(queue))
    if point is None:
        return
    for mine in point.takers, point.groups:
        mine[:] = [other for other in mine if waits is not None and other is not waits]
    if not point.takers and not point.groups:
        del _simple_points[id(queue)]
        base, noticing = simple_types()
        _set_type(queue, noticing, base, 1, _is_heap(base))


def simple_taken(queue):
    """By a thread of the child."""
    point = _simple_points.get(id(queue))
    if point is not None and not _is_ours():
        for taker in list(point.takers):
            unwatch_simple(queue, taker)


def simple_handed(queue):
    point = _simple_points.get(id(queue))
    if point is None:
        return
    for group in list(point.groups):
        group.first_enqueue()
    takers = list(point.takers)
    todo = waiting(takers, ())
    if todo and queue.qsize() == point.inherited:
        base = simple_types()[0]
        for _ in range(point.inherited):
            base.get_nowait(queue)
        point.inherited = 0
        begin(takers, todo)
    else:  # the child takes from it by itself, or its library has started a thread
        for taker in takers:
            unwatch_simple(queue, taker)


# A condition or an event with a store of work beside it


class Watched:
    __slots__ = ("condition", "waiters", "stores", "takers")

    def __init__(self, condition):
        self.condition = _weakref.ref(condition)
        self.stores, self.takers = [], []
        self.waiters = watch_condition(condition, self.notified, self.waited)

    def notified(self):
        """Evidence is that a store has more in it than at the fork: a stop event says nothing of work."""
        grown = [(store, before) for store, before in self.stores if _has_grown(store, before)]
        if not grown:
            return
        takers = list(self.takers)
        todo = waiting(takers, ())
        if todo:
            for store, before in grown:
                _drop(store, {id(item) for item in before})
        begin(takers, todo)

    def waited(self, waiter):
        if not _is_ours():
            for taker in list(self.takers):
                self.remove(taker)

    def remove(self, taker):
        if taker in self.takers:
            self.takers.remove(taker)
        if not self.takers:
            self.waiters.leave()
            self.stores = []


def _has_grown(store, before):
    known = {id(item) for item in before}
    return any(id(item) not in known for item in list(store))


def watched_by(condition):
    waiters = condition._waiters
    if type(waiters) is Waiters and waiters.on_notify is not None:
        watched = waiters.on_notify.__self__
        return watched if type(watched) is Watched else None
    return None


# --- a thread begins again ---------------------------------------------------------------------------------


def waiting(takers, queues):
    """Those of the takers whose work nobody else in the child does."""
    if not need(*CURE):
        return []
    threading = sys.modules["threading"]
    living = [thread for thread in threading.enumerate() if not any(
        reference() is thread for reference in restarted)]
    return [taker for taker in takers if taker.state == "waiting" and not is_finished(taker.thread)
            and successor(taker.thread, list(queues), living) is None]


def begin(takers, todo=None):
    """Never raises: it runs inside the program's own put()."""
    if todo is None:
        todo = waiting(takers, ())
    clock = sys.modules["time"].monotonic() if "time" in sys.modules else 0.0
    todo = [taker for taker in todo if taker.retry_at <= clock]
    for taker in todo:
        taker.state = "reviving"
    try:
        if todo:
            inherit([taker.thread for taker in todo], [loop for taker in todo for loop in taker.loops])
        for taker in todo:
            restarted.append(_weakref.ref(taker.thread))
            restart(taker.thread, taker.queues)
            taker.state = "done"
    except BaseException as error:
        for taker in todo:
            if taker.state != "done":
                taker.state, taker.retry_at = "waiting", clock + RETRY_AFTER_S
        _failed(BY_EVIDENCE, "%s: %s" % (type(error).__name__, error))
        if not isinstance(error, Exception):
            raise  # a signal handler's, in the middle
    for taker in takers:
        if taker.state == "done" or taker not in todo and taker.state == "waiting" and taker.retry_at <= clock:
            taker.forget()
    if _verbose and todo:
        _say("%s: %d thread(s) revived" % (BY_EVIDENCE, sum(taker.state == "done" for taker in todo)))


def inherit(threads, loops):
    """What the parent has a share in, a thread that comes back gets of its own."""
    for loop in loops:
        reset_loop(loop)
    for thread in threads:
        own_clients(thread, thread.native_id)
