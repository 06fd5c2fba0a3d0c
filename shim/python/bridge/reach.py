"""What a thread works with: the queues it consumes, the locks, connection pools and sockets behind it.

A bounded walk over the state of objects, never through modules, classes, globals of strangers, frames, or other threads.
Runs in the parent: in a child the same walk copies every page that it touches (1 ms here, 12 to 40 there).
"""

import gc
import types

# Work is handed to a consumer through its own attributes, or those of what it holds; what lies deeper is
# somebody else's (a connection pool's queue, the application's).
QUEUE_DEPTH = 2
# An HTTP client's sockets lie about ten objects behind its owner.
DEEPEST = 16
MOST_OBJECTS = 20000  # some 10 ms
# A container with more is a store of items, and items are not what a consumer works with.
LARGEST_CONTAINER = 512
CODE_DEPTH = 4  # functions of the same module that call each other

_CONTAINERS = (dict, list, tuple, set, frozenset)
_NOTHING = (
    types.ModuleType, type, types.FrameType, types.CodeType, types.BuiltinFunctionType, types.CoroutineType,
    types.GeneratorType, str, bytes, bytearray, int, float, complex, bool, type(None),
)


class Found:
    __slots__ = ("queues", "simple_queues", "locks", "pools", "sockets", "executors", "loops")

    def __init__(self):
        for name in self.__slots__:
            setattr(self, name, [])


_CELL = type((lambda value: lambda: value)(0).__closure__[0])
_kinds = {}  # a type: what is made of its instances


def _kind(cls):
    kind = _kinds.get(cls)
    if kind is None:
        kind = _kinds[cls] = _classify(cls)
    return kind


def _classify(cls):
    threading = sys.modules["threading"]
    module, name = cls.__module__, cls.__name__
    if issubclass(cls, (_thread.LockType, _thread.RLock, threading._RLock, threading.Condition, threading.Event,
                        threading.Semaphore)):
        return "locks"
    if issubclass(cls, threading.Thread):
        return "thread"
    if issubclass(cls, _NOTHING) or module == "logging" and name in ("Logger", "RootLogger", "Manager"):
        return "nothing"
    if issubclass(cls, _CONTAINERS) or module == "collections":
        return "container"
    if issubclass(cls, types.FunctionType):
        return "function"
    if issubclass(cls, types.MethodType):
        return "container"
    if issubclass(cls, _weakref.ref):
        return "reference"
    if cls is _CELL:
        return "cell"
    if module == "_queue" and name == "SimpleQueue":
        return "simple_queues"
    socket = sys.modules.get("socket")
    if socket is not None and issubclass(cls, socket.socket):
        return "sockets"
    workers = sys.modules.get("concurrent.futures.thread")
    if workers is not None and issubclass(cls, workers.ThreadPoolExecutor):
        return "executors"
    events = sys.modules.get("asyncio.base_events")
    if events is not None and issubclass(cls, events.BaseEventLoop):
        return "loops"
    if "task_done" in dir(cls) and "_put" in dir(cls):
        return "queue"
    if name in ("ConnectionPool", "HTTPConnectionPool", "HTTPSConnectionPool"):
        return "pool"
    return "object"


def reach(roots):
    """Walks from the roots, which are at depth 0."""
    found, seen, level, depth = Found(), set(), list(roots), 0
    budget = MOST_OBJECTS
    while level and depth <= DEEPEST:
        deeper = []
        while level:
            value = level.pop()
            if id(value) in seen:
                continue
            seen.add(id(value))
            budget -= 1
            if budget == 0:
                return found
            kind = _kind(type(value))
            if kind in ("object", "cell"):
                deeper.extend(gc.get_referents(value))
            elif kind == "nothing":
                continue
            elif kind == "container":
                if not hasattr(value, "__len__") or len(value) <= LARGEST_CONTAINER:
                    level.extend(gc.get_referents(value))
            elif kind == "queue":
                if is_queue(value):
                    if depth <= QUEUE_DEPTH:
                        found.queues.append(value)
                else:
                    deeper.extend(gc.get_referents(value))
            elif kind == "function":
                level.extend(value.__closure__ or ())
                level.extend(value.__defaults__ or ())
            elif kind == "reference":
                level.append(value())
            elif kind == "thread":
                deeper.extend(roots_of(value))
            elif kind == "pool":
                found.pools.append(value)
                deeper.extend(gc.get_referents(value))
            elif kind == "loops":
                found.loops.append(value)
            elif kind == "simple_queues":
                if depth <= QUEUE_DEPTH:
                    found.simple_queues.append(value)
            else:
                getattr(found, kind).append(value)
        level, depth = deeper, depth + 1
    return found


_thread_keys = set(sys.modules["threading"].Thread(name="forkmend").__dict__)
_EXTRA_KEYS = ("_target", "_args", "_kwargs")


def roots_of(thread):
    """The state of a thread that is not threading's own, and what its code names."""
    values = [value for key, value in list(thread.__dict__.items()) if key not in _thread_keys or key in _EXTRA_KEYS]
    return values + named_by_code(thread)


def named_by_code(thread):
    """Globals that the thread's own functions name: a worker's queue is often one."""
    target = thread.__dict__.get("_target") or getattr(thread, "function", None)
    while hasattr(target, "func"):
        target = target.func
    target = getattr(target, "__func__", target)
    first = target if isinstance(target, types.FunctionType) else getattr(type(thread), "run", None)
    if not isinstance(first, types.FunctionType) or first.__module__ == "threading":
        return []
    values, seen, level = [], set(), [first]
    for _ in range(CODE_DEPTH):
        deeper = []
        for function in level:
            if function in seen:
                continue
            seen.add(function)
            for name in _names(function.__code__):
                value = function.__globals__.get(name)
                if isinstance(value, types.FunctionType):
                    if value.__module__ == first.__module__:
                        deeper.append(value)
                elif value is not None:
                    values.append(value)
        level = deeper
    return values


def _names(code):
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
