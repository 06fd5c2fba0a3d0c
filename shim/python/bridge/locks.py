"""Locks that a lost thread held are opened in the child; what the forking thread holds stays its own.

An RLock knows its owner. A Lock does not: it is opened unless the forking thread's own frames say that it is inside a
critical section of it. Waiters of conditions are all lost: they are forgotten, or a notify() would wake one of them
instead of a live thread.
"""

import types

_HAS_REINIT = hasattr(_thread.allocate_lock(), "_at_fork_reinit")  # 3.9


def inner(lock):
    """The Lock or RLock under a Condition, Event or Semaphore, and the conditions on the way."""
    conditions = []
    for _ in range(3):
        if own(lock, "_waiters") is not None and own(lock, "_lock") is not None:
            conditions.append(lock)
            lock = lock._lock
        elif own(lock, "_cond") is not None:
            lock = lock._cond
        else:
            break
    return lock, conditions


def open_orphan(lock, kept):
    """In the child. `kept`: ids of locks that the forking thread holds. Returns whether it was opened."""
    lock, conditions = inner(lock)
    for condition in conditions:
        condition._waiters.clear()
    if is_recursive(lock):
        if not repr(lock).startswith("<locked") or lock._is_owned():
            return False
        if _HAS_REINIT:
            lock._at_fork_reinit()
            return True
        return _open_recursive(lock)
    if not isinstance(lock, _thread.LockType) or not lock.locked() or id(lock) in kept:
        return False
    if _HAS_REINIT:
        lock._at_fork_reinit()
    else:
        lock.release()
    return True


def _open_recursive(lock):
    """3.8: "<locked _thread.RLock object owner=N count=M at 0x...>"."""
    words = dict(word.split("=") for word in repr(lock).split() if "=" in word)
    return bool(_open_rlock(lock, int(words["owner"]), int(words["count"])))


def of_modules(belongs):
    """Locks in globals and classes of the modules of a runtime; `belongs(name)` tells them."""
    found = []
    for name, module in list(sys.modules.items()):
        if module is None or not belongs(name):
            continue
        for value in list(getattr(module, "__dict__", {}).values()):
            kind = type(value)
            if kind is type and value.__module__ == name:
                found.extend(part for part in list(value.__dict__.values()) if _kind(type(part)) == "locks")
            elif kind.__module__ in ("_thread", "threading") and _kind(kind) == "locks":
                found.append(value)
    return found


_module_locks = {}  # a runtime's name: (number of modules when they were looked through, locks)


def of_runtime(name):
    count = len(sys.modules)
    known = _module_locks.get(name)
    if known is None or known[0] != count:
        known = _module_locks[name] = (count, of_modules(lambda module: _profile(module) == name))
    return known[1]


def kept_by_forker(locks):
    """In the parent: ids of those plain locks that the forking thread seems to hold, by its frames."""
    suspects = {}
    for lock in locks:
        lock = inner(lock)[0]
        if isinstance(lock, _thread.LockType) and lock.locked():
            suspects[id(lock)] = lock
    kept, frame = set(), sys._getframe(1)
    while suspects and frame is not None:
        if frame.f_globals is not globals() and _takes_locks(frame):
            for value in _named_in(frame):
                for lock in _locks_of(value, suspects):
                    kept.add(id(lock))
        frame = frame.f_back
    return kept


def _takes_locks(frame):
    """True if the frame stands in a with block, or its function calls acquire()."""
    code = frame.f_code
    if "acquire" in code.co_names:
        return True
    return any(start <= frame.f_lasti < end for start, end in _with_blocks(code))


def _with_blocks(code):
    """Offsets of the bodies of with statements."""
    import dis  # rare: only where a lock of the runtime is held at the fork

    if sys.version_info < (3, 11):
        return [(op.offset, op.argval) for op in dis.get_instructions(code) if op.opname == "SETUP_WITH"]
    at = {op.offset: op.opname for op in dis.get_instructions(code)}
    blocks = []
    for entry in dis.Bytecode(code).exception_entries:
        offsets = [offset for offset in at if offset >= entry.target][:3]
        if any(at[offset] == "WITH_EXCEPT_START" for offset in offsets):
            blocks.append((entry.start, entry.end + 2))
    return blocks


def _named_in(frame):
    yield from list(frame.f_locals.values())
    for name in frame.f_code.co_names:
        value = frame.f_globals.get(name)
        if value is not None:
            yield value


def _locks_of(value, suspects):
    """Suspects that the value is, or has as attributes of attributes: client.consumer.queue.mutex."""
    level, seen = [value], set()
    for _ in range(5):
        deeper = []
        for item in level:
            if id(item) in seen or len(seen) > MOST_OBJECTS:
                continue
            seen.add(id(item))
            lock = inner(item)[0] if type(item) is not type else item
            if id(lock) in suspects:
                yield lock
            parts = getattr(item, "__dict__", None)
            if type(parts) in (dict, types.MappingProxyType) and not isinstance(item, types.ModuleType):
                deeper.extend(list(parts.values()))
        level = deeper
