"""Locks inside the interpreter that no module can see: at a fork nobody else is in their critical sections.

A buffered stream has one, and a thread that writes keeps it while it waits for the kernel; so has each module that is being
imported. The forking thread takes the streams' locks itself, for as long as the fork lasts, so that the buffers are whole. What
is held for long (by a thread that waits for input, or for a reader who does not come) is opened in the child.

Streams looked at: those of sys, of logging's handlers, and what the lost threads work with. CPython 3.8 to 3.13: the place of the
lock is found by a trial at the first fork, and nothing is done where that fails.
"""

import io

WAIT_FOR_IMPORTS_S = 0.2  # longer than most modules take
PAUSE_S = 0.0005  # between two looks at imports, which tell nobody

_BUFFERED = (io.BufferedWriter, io.BufferedReader, io.BufferedRandom)

_place = []  # [offset of the owner in a buffered stream], the lock's address stands before it; [0]: not known


class _Trial(io.RawIOBase):
    def writable(self):
        return True

    def write(self, data):
        if not self.inside:
            self.inside.append(_find_lock(self.buffered, io.BufferedWriter.__basicsize__, _thread.get_ident()))
        return len(data)


def place():
    if not _place:
        raw = _Trial()
        raw.inside = []
        raw.buffered = io.BufferedWriter(raw, 16)
        raw.buffered.write(b"forkmend")
        raw.buffered.flush()
        at = raw.inside[0]
        _place.append(at if at > 0 and _is_free(raw.buffered, at) else 0)
        buffered, raw.buffered = raw.buffered, None
        buffered.detach()
    return _place[0]


class Sections:
    """Of a fork that is under way."""

    __slots__ = ("fork", "importing")

    def __init__(self, fork, threads):
        self.fork, self.importing = fork, []
        if not _may_wait:
            return
        self._wait_for_imports()
        at = place()
        if at:
            fork.holds.extend((lock, OWNER_OF_LOCK, id(lock) not in _slow) for lock in handler_locks())
            fork.holds.extend((stream, at, id(stream) not in _slow) for stream in streams_of(threads))

    def _wait_for_imports(self):
        self.importing = modules_in_work()
        if not self.importing:
            return
        time = sys.modules["time"]
        until = time.monotonic() + WAIT_FOR_IMPORTS_S
        while any(name not in _slow for name in self.importing):
            if time.monotonic() >= until:
                _slow.update(self.importing)
                break
            time.sleep(PAUSE_S)
            self.importing = modules_in_work()

    def remember_slow(self):
        """In the parent."""
        for (held, _, _), result in zip(self.fork.holds, self.fork.results):
            if result < 0:
                _slow.add(id(held))

    def enter_child(self):
        for (stream, at, _), result in zip(self.fork.holds, self.fork.results):
            if result not in (-1, 2) or not isinstance(stream, _BUFFERED):
                continue
            if result < 0:
                _open_lock(stream, at)
            # A thread was in the middle of a write: what is in the buffer is its parent's.
            if isinstance(stream, (io.BufferedWriter, io.BufferedRandom)):
                drop_buffer(stream)
        for name in self.importing:
            forget_import(name)


def buffered_of(stream):
    if isinstance(stream, io.TextIOWrapper):
        try:
            stream = stream.buffer
        except ValueError:  # detached
            return None
    return stream if type(stream) in _BUFFERED else None


def handler_locks():
    logging = sys.modules.get("logging")
    for reference in list(getattr(logging, "_handlerList", ())):
        lock = getattr(reference(), "lock", None) if isinstance(reference, _weakref.ref) else None
        if type(lock) is _thread.RLock:
            yield lock


def streams_of(threads):
    """Buffered streams that lost threads or the child's first line may be in."""
    candidates = [getattr(sys, name, None) for name in (
        "stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__")]
    logging = sys.modules.get("logging")
    for reference in list(getattr(logging, "_handlerList", ())):
        handler = reference() if isinstance(reference, _weakref.ref) else reference
        candidates.append(getattr(handler, "__dict__", {}).get("stream"))
    for thread in threads:
        values = thread.__dict__
        target = values.get("_target")
        owner = getattr(target, "__self__", None)
        candidates.append(owner)
        candidates.extend(values.get("_args") or ())
        candidates.extend(list(getattr(owner, "__dict__", {}).values())[:MOST_ATTRIBUTES])
        code = getattr(getattr(target, "__func__", target), "__code__", None)
        if code is not None:
            names = getattr(target, "__globals__", None) or target.__func__.__globals__
            candidates.extend(names.get(name) for name in code.co_names)
    found = {}
    for stream in candidates:
        if isinstance(stream, io.IOBase):
            buffered = buffered_of(stream)
            if buffered is not None:
                found[id(buffered)] = buffered
    return list(found.values())


MOST_ATTRIBUTES = 64  # of an object whose method is a thread's target


def drop_buffer(stream):
    """What a lost thread was writing is written by the parent. The buffer has no other way out than a flush: into nothing."""
    posix = sys.modules["posix"]
    try:
        fd = stream.raw.fileno()
        kept, nothing = posix.dup(fd), posix.open("/dev/null", posix.O_WRONLY | posix.O_CLOEXEC)
    except (OSError, ValueError, AttributeError):
        return
    inheritable = posix.get_inheritable(fd)
    try:
        posix.dup2(nothing, fd, inheritable)
        stream.flush()
    except (OSError, ValueError):
        pass
    finally:
        posix.dup2(kept, fd, inheritable)
        posix.close(kept)
        posix.close(nothing)


def modules_in_work():
    """Names of modules that other threads are importing."""
    own = _thread.get_ident()
    found = []
    for name, reference in list(sys.modules["_frozen_importlib"]._module_locks.items()):
        lock = reference() if reference is not None else None
        if getattr(lock, "owner", None) not in (None, own):
            found.append(name)
    return found


def forget_import(name):
    """Half a module, whose other half will not come: the child imports it anew."""
    sys.modules["_frozen_importlib"]._module_locks.pop(name, None)
    module = sys.modules.get(name)
    if getattr(getattr(module, "__spec__", None), "_initializing", False):
        del sys.modules[name]
