"""HTTP connection pools, executors and event loops, as a child needs them: without what lost threads had in their hands.

Each is known by its shape; one that looks otherwise is left as it is.
"""

import types


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


# --- what a thread that comes back works with ----------------------------------------------------------------

CLIENT_DEPTH = 5
CLIENT_OBJECTS = 5000


class Client:
    __slots__ = ("pools", "epolls", "owners")

    def __init__(self):
        self.pools, self.epolls = [], []
        self.owners = []  # objects with sockets among their attributes


def client_of(thread):
    """In the child, where a thread begins again: what lies behind it, not far."""
    found, seen, level, left = Client(), set(), roots_of(thread), CLIENT_OBJECTS
    socket, select = sys.modules.get("socket"), sys.modules.get("select")
    sockets = (socket.socket,) if socket is not None else ()
    epolls = (select.epoll,) if select is not None else ()
    for _ in range(CLIENT_DEPTH + 1):
        deeper = []
        while level:
            value = level.pop()
            if id(value) in seen:
                continue
            seen.add(id(value))
            left -= 1
            if not left:
                return found
            kind = _kind(type(value))
            if kind == "container":
                if not hasattr(value, "__len__") or len(value) <= LARGEST_CONTAINER:
                    level.extend(gc.get_referents(value))
            elif kind == "reference":
                level.append(value())
            elif kind == "function":
                level.extend(value.__closure__ or ())
            elif epolls and type(value) in epolls:
                found.epolls.append(value)
            elif kind in ("object", "cell", "pool", "queue"):
                if kind == "pool":
                    found.pools.append(value)
                parts = gc.get_referents(value)
                for part in parts:
                    if isinstance(part, sockets) or type(part) is dict and any(
                            isinstance(inner, sockets) for inner in list(part.values())[:LARGEST_CONTAINER]):
                        found.owners.append(value)
                        break
                deeper.extend(parts)
        level = deeper
    return found


def own_clients(thread, native):
    """Connections, pools and selectors that the parent works with: the thread gets its own. `native`: its kernel id there."""
    found = client_of(thread)
    packages = {(module or "").partition(".")[0] for module in modules_of(thread)}
    for pool in found.pools:
        reset_pool(pool)
    for owner in found.owners:
        for name, connection in _sockets_of(owner):
            fd = connection.fileno()
            inode = _stream_inode(fd) if fd >= 0 else 0
            if not inode:
                continue
            connector = _connected_by(fd, inode)
            if connector == native or connector >= 0 and type(owner).__module__.partition(".")[0] in packages:
                _close(owner, name, connection, fd, inode)
    _dead_end([], [native])
    own_waits(found)


def own_waits(found):
    """What it waits in, which wakes the parent's threads too."""
    for owner in found.owners:
        renew_pair([connection for _, connection in _sockets_of(owner)])
    for epoll in found.epolls:
        renew_epoll(epoll)


def _sockets_of(owner):
    socket = sys.modules["socket"].socket
    return [(name, value) for name, value in list(getattr(owner, "__dict__", {}).items()) if isinstance(value, socket)]


def _close(owner, name, connection, fd, inode):
    """Where the class itself stores None for "not connected", that is what its code finds, before it sends anything.
    Elsewhere the connection is a dead end: the first use of it fails."""
    _dead_end([(fd, inode)], [])
    if _stores_none(type(owner), name):
        setattr(owner, name, None)
        connection.close()


_KEEPS = ("LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK", "EXTENDED_ARG", "NOP", "CACHE", "ROT_TWO", "SWAP")
_DOUBLES = ("DUP_TOP", "COPY")


def _stores_none(cls, name):
    """Whether a method of the class says `self.NAME = None`, alone or in a chain."""
    import dis  # rare: once for a connection

    functions = [value for base in cls.__mro__ for value in list(base.__dict__.values())
                 if isinstance(value, types.FunctionType) and name in value.__code__.co_names]
    for function in functions:
        nones = 0  # on the stack
        for step in dis.get_instructions(function.__code__):
            if step.opname == "LOAD_CONST":
                nones = 1 if step.argval is None else 0
            elif step.opname in _DOUBLES:
                nones += 1 if nones else 0
            elif step.opname == "STORE_ATTR":
                if nones and step.argval == name:
                    return True
                nones = max(0, nones - 1)
            elif step.opname not in _KEEPS:
                nones = 0
    return False


def renew_pair(connections):
    """A wake-up pair: two unnamed sockets of one owner. Both ends are replaced under their numbers."""
    socket = sys.modules["socket"]
    ends = [end for end in connections if end.fileno() >= 0 and end.family == socket.AF_UNIX and _is_unnamed(end)]
    if len(ends) != 2:
        return
    posix = sys.modules["posix"]
    for old, new in zip(ends, socket.socketpair(ends[0].family, ends[0].type)):
        new.settimeout(old.gettimeout())
        posix.dup2(new.fileno(), old.fileno(), posix.get_inheritable(old.fileno()))
        new.close()


def _is_unnamed(end):
    try:
        return not end.getsockname() and not end.getpeername()
    except OSError:
        return False


def renew_epoll(epoll):
    """A set of its own under the same number, with the same descriptors in it (Linux: /proc/PID/fdinfo, "tfd")."""
    if epoll.closed:
        return
    posix, number = sys.modules["posix"], epoll.fileno()
    file = posix.open("/proc/self/fdinfo/%d" % number, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        text = b""
        while True:
            part = posix.read(file, 65536)
            if not part:
                break
            text += part
    finally:
        posix.close(file)
    new = type(epoll)()
    try:
        for line in text.splitlines():
            words = line.replace(b":", b": ").split()
            if words[:1] == [b"tfd:"]:
                try:
                    new.register(int(words[1]), int(words[3], 16))
                except OSError:  # closed meanwhile
                    pass
        posix.dup2(new.fileno(), number, posix.get_inheritable(number))
    finally:
        new.close()
