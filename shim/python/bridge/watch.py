"""Which Python threads a fork loses, and which of them belong to a runtime that is to come back.

Runs in the parent at every fork of a process with threads: it imports nothing, changes nothing, and takes microseconds a
thread. The other parts of the bridge are loaded when a thread of a registered runtime is seen for the first time. They
share this namespace, which no module sees; names with a leading underscore come from the shim (lost.cc).

CPython 3.8 to 3.14.
"""

import sys

import _thread
import _weakref

CURED = ("callback", "eager")
BY_EVIDENCE = "python:*"  # the profile of all Python threads that no other one names

_loaded = set()  # parts of the bridge
_answers = {}  # a module's name: what the profiles say of it
_forks = {}  # the forking thread's ident: what its fork is about to lose
_forks_seen = []  # not empty from the first fork on that loses threads
OWNER_OF_LOCK = 24  # bytes from the start of an RLock; see buffer_lock in lost.cc
_slow = set()  # what kept a fork waiting once, by id or name: later forks do not wait for it
lost = []  # what this process has lost


class LostThread:
    """A thread that did not survive, as far as a report needs it. Keeps nothing alive."""

    __slots__ = ("thread", "name", "native_id", "runtime")

    def __init__(self, thread, runtime):
        self.thread = _weakref.ref(thread)
        self.name = str(thread._name)
        self.native_id = thread.native_id
        # What helps a thread that evidence did not bring back is a profile of its own.
        self.runtime = runtime[0] if runtime and runtime[0] != BY_EVIDENCE else ""


class Fork:
    """A fork that is under way."""

    __slots__ = ("lost", "groups", "plan", "sections", "holds", "results")

    def __init__(self):
        self.lost = []
        self.groups = ()
        self.sections = None
        self.holds = []  # what the forking thread is to hold over the fork: (lock or stream, place, may wait)
        self.results = []  # what came of each: -1: others have it, 0: it has it itself, 1: held, 2: held, and others wait
        self.plan = None  # for threads that come back by evidence alone


def module_of(value):
    try:
        name = value.__module__
    except Exception:  # an object's own __getattr__
        return None
    return name if type(name) is str else None


def modules_of(thread):
    """The modules by which a thread is attributed: of its class, of its target, of its target's self."""
    threading = sys.modules["threading"]
    cls = type(thread)
    if cls.__module__ != "threading":
        yield cls.__module__
    values = thread.__dict__
    target = values.get("_target")
    if target is None and isinstance(thread, threading.Timer):
        target = values.get("function")
    for _ in range(4):  # functools.partial of functools.partial
        if target is None:
            return
        yield module_of(target)
        owner = getattr(target, "__self__", None)
        if owner is not None and type(owner) is not type(sys):
            yield type(owner).__module__
        elif not hasattr(target, "__code__"):
            yield type(target).__module__  # an object with __call__
        target = getattr(target, "func", None)


def runtime_of(thread):
    """(name, policy, enqueue methods, pending attributes) of the runtime, or None."""
    named = False
    for module in modules_of(thread):
        if module is None:
            continue
        named = True
        if _answer(module) is not None:
            return _answers[module]
    return _answer(BY_EVIDENCE) if named else None


def _answer(module):
    if module not in _answers:
        _answers[module] = _recognise(module)
    return _answers[module]


_nothing = object()


def own(value, name, default=None):
    """An attribute of the instance itself. Asking for __dict__ would turn the object's compact state into a dict, and make
    each later access of the program's slower by a third (3.11, 3.12)."""
    if any(name in cls.__dict__ for cls in type(value).__mro__):
        return default
    try:
        return object.__getattribute__(value, name)
    except AttributeError:
        return default


_queue_parts = ("mutex", "not_empty", "not_full", "all_tasks_done", "unfinished_tasks", "queue")


def is_queue(value):
    """queue.Queue by shape: SDKs carry copies of it. Connection pools, which are LIFO, hold no work."""
    if any(own(value, part, _nothing) is _nothing for part in _queue_parts):
        return False
    return not any(cls.__name__ == "LifoQueue" for cls in type(value).__mro__)


def before():
    """In the parent, after every other before-hook: (2: it loses threads that are to be cured, 1: others, 0: none; what is to
    be held over the fork; a list for what comes of it).

    Never asks for the frames of running threads: on 3.12 and 3.13 a process that does so at each fork ends up with a
    BytesIO freed while its buffer is exported, and crashes (7 of 40 runs of preload/plain_python.py).
    """
    threading = sys.modules.get("threading")
    if threading is None:
        return 0, [], []
    own, own_native = _thread.get_ident(), _thread.get_native_id()
    fork, cured, by_evidence = Fork(), [], []
    for ident, thread in list(threading._active.items()):
        native = getattr(thread, "native_id", None)
        # A greenlet runs on the forking thread, and survives with it.
        if ident == own or native is None or native == own_native:
            continue
        try:
            runtime = runtime_of(thread)
            if runtime is not None and runtime[1] == "leave":
                continue
            fork.lost.append(LostThread(thread, runtime))
        except Exception as error:  # one that only looks like a thread
            _problem("%r is left as it is: %r" % (type(thread), error))
            continue
        if runtime is None or runtime[1] not in CURED:
            continue
        if runtime[0] == BY_EVIDENCE and runtime[1] == "callback":
            by_evidence.append(thread)
        else:
            cured.append((thread, runtime))
    if fork.lost and need("sections"):
        take_sections(fork)
    if cured or "cure" in _loaded:
        if need(*CURE):
            fork.groups = plan(cured)
    if by_evidence and need(*PLAN):
        fork.plan = takers_of(by_evidence, fork)
    if fork.lost and not _forks_seen:
        _forks_seen.append(True)
        _say_unmatched()
    _forks[own] = fork
    # An embedder's fork is announced to the interpreter only for threads that are known to need it.
    by_embedder = fork.plan is not None and "uwsgi" in sys.modules
    return 2 if fork.groups or by_embedder else 1 if fork.lost else 0, fork.holds, fork.results


def is_recursive(lock):
    return type(lock).__name__ in ("RLock", "_RLock", "_PyRLock")


def take_sections(fork):
    try:
        fork.sections = Sections(fork, [thread for thread in (record.thread() for record in fork.lost) if thread])
    except Exception as error:
        _problem("streams are forked as they are: %r" % error)


CURE = ("reach", "locks", "queues", "clients", "evidence", "cure")
PLAN = ("reach", "queues", "evidence")


def is_finished(thread):
    """Its run() had returned by the time of the fork: Thread.run deletes what it was given."""
    threading = sys.modules["threading"]
    return type(thread).run is threading.Thread.run and "_target" not in thread.__dict__


def need(*parts):
    """Loads parts of the bridge once, in this order; False if one could not be loaded."""
    for part in parts:
        if part not in _loaded:
            if not _load(part):
                return False
            _loaded.add(part)
    return True


_WAITS = ("join", "put", "result", "exception")


def explain_wait(frame):
    caller = frame
    for _ in range(5):
        if caller is None or caller.f_code.co_name in _WAITS:
            break
        caller = caller.f_back
    if caller is None or caller.f_code.co_name not in _WAITS or not need(
            "reach", "clients", "explain"):
        return "", "", 0, "", ""
    return explain(frame)


def after_in_parent():
    fork = _forks.pop(_thread.get_ident(), None)
    if fork is not None and fork.sections is not None:
        fork.sections.remember_slow()


def after_in_child():
    """Before everybody else's hooks: what SDKs do for themselves comes after, and finds usable locks."""
    fork = _forks.pop(_thread.get_ident(), None)
    _forks.clear()
    if fork is None:
        return
    if fork.sections is not None:
        fork.sections.enter_child()
    lost.extend(fork.lost)
    for group in fork.groups:
        group.enter_child()
    if fork.plan is not None:
        arm_takers(fork.plan, fork)
