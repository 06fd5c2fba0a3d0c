"""Lost threads of registered runtimes: usable locks and empty queues in the child, threads at the first enqueue.

A group is what belongs together: threads of one runtime that share a queue. It lives in the triggers of its queues and
nowhere else, so that a client which the program drops goes with its queue.
"""

import atexit

EXIT_WAIT_S = 1.0

waiting_groups = []  # weak references to groups that were not revived yet


class Group:
    __slots__ = ("runtime", "threads", "queues", "simple_queues", "locks", "kept", "pools", "sockets", "executors",
                 "loops", "state", "__weakref__")

    def __init__(self, runtime):
        self.runtime = runtime
        self.threads, self.queues, self.simple_queues, self.locks, self.pools = [], [], [], [], []
        self.sockets, self.executors, self.loops = [], [], []
        self.kept = set()
        self.state = "waiting"

    @property
    def name(self):
        return self.runtime[0]

    def add(self, thread, found):
        self.threads.append(thread)
        for mine, new in ((self.queues, found.queues), (self.simple_queues, found.simple_queues),
                          (self.executors, found.executors), (self.pools, found.pools), (self.locks, found.locks)):
            mine.extend(value for value in new if not any(value is known for known in mine))
        loop = loop_of(thread)
        if loop is not None:
            self.loops.append(loop)
        self.sockets.extend(_sockets(found.sockets))

    # --- in the child, on entry: light -----------------------------------------------------------------

    def enter_child(self):
        try:
            self._enter_child()
        except Exception as error:
            _problem("%s: the child is left as it is: %r" % (self.name, error))

    def _enter_child(self):
        opened = 0
        for lock in self.locks:
            opened += open_orphan(lock, self.kept)
        for queue in self.queues:
            for condition in conditions_of(queue):
                opened += open_orphan(condition, self.kept)
            empty(queue)
        for pool in self.pools:
            reset_pool(pool)
        natives = [thread.native_id for thread in self.threads]
        dead = _dead_end(self.sockets, natives)
        # What served the child's entry is not needed again, and would keep clients alive.
        self.locks, self.pools, self.sockets, self.kept = [], [], [], set()
        is_pool = self._enter_executors()
        for loop in self.loops:
            reset_loop(loop)
        for queue in self.simple_queues:
            if not is_pool:
                drain_simple(queue)
        trigger = self._arm()
        if _verbose:
            _say("%s: %d lost thread(s), %d lock(s) opened, %d queue(s) emptied, %d connection(s) cut; %s" % (
                self.name, len(self.threads), opened, len(self.queues), dead,
                "executor" if is_pool else "back at the first enqueue" if trigger else "back at once"))
        if is_pool:
            self.state = "done"
        elif not trigger:
            eager_groups.append(self)
        elif self.state == "waiting":
            waiting_groups.append(_weakref.ref(self))

    def _enter_executors(self):
        """True if the threads are an executor's workers: it starts its own."""
        workers = sys.modules.get("concurrent.futures.thread")
        if workers is None:
            return False
        served = 0
        for thread in self.threads:
            if thread.__dict__.get("_target") is workers._worker:
                served += 1
                forget_worker(thread)
        for executor in self.executors:
            if served:
                reset_executor(executor)
        return served == len(self.threads) and served > 0

    def _arm(self):
        """Sets the triggers; False if there is none and the threads have to come back at once."""
        if self.runtime[1] == "eager" or not all([watch_simple(queue, group=self) for queue in self.simple_queues]):
            self._pending()
            return False
        for queue in self.queues:
            arm(queue, self)
        methods = any([arm_methods(owner, self.runtime[2], self) for owner in self._owners()])
        loops = any([arm_methods(loop, ("call_soon_threadsafe",), self) for loop in self.loops])
        self._pending()
        return bool(self.queues or self.simple_queues) or methods or loops

    def _owners(self):
        """The objects whose methods the runtime's users call: the threads' own, or their targets'."""
        owners = []
        for thread in self.threads:
            owner = getattr(thread.__dict__.get("_target"), "__self__", thread)
            if not any(owner is known for known in owners):
                owners.append(owner)
        return owners

    def _pending(self):
        for owner in self._owners():
            for name in self.runtime[3]:
                store = getattr(owner, name, None)
                if hasattr(store, "clear"):
                    store.clear()

    # --- at the first enqueue ---------------------------------------------------------------------------

    def first_enqueue(self):
        """Never raises: it runs inside the program's own put()."""
        if self.state != "waiting":
            return
        self.state = "reviving"
        for queue in self.queues:
            disarm(queue, self)
        for queue in self.simple_queues:
            unwatch_simple(queue, self)
        patched = sys.modules.get("gevent.monkey")
        if patched is not None and patched.is_module_patched("threading"):
            # A new thread is a greenlet, and runs in the middle of start(): it would wait for the queue's
            # mutex, which is a real one from before the patch and is held by this very thread.
            sys.modules["gevent"].spawn(self._finish)
        else:
            self._finish()

    def _finish(self):
        try:
            started = self._revive()
        except Exception as error:
            self._degrade(error)
            return
        except BaseException as error:  # a signal handler's, in the middle
            self._degrade(error)
            raise
        self.state = "done"
        if _verbose:
            _say("%s: %d thread(s) revived" % (self.name, started))

    def _revive(self):
        threading = sys.modules["threading"]
        own = threading.current_thread()
        living = [thread for thread in threading.enumerate() if thread is not own]
        started = 0
        for thread in self.threads:
            if not is_finished(thread) and successor(thread, self.queues, living) is None:
                own_waits(client_of(thread))
                restart(thread, self.queues)
                started += 1
        return started

    def _degrade(self, error):
        self.state = "waiting"
        _failed(self.name, "%s: %s" % (type(error).__name__, error))
        for queue in self.queues:
            degrade(queue, self)
        for queue in self.simple_queues:
            watch_simple(queue, group=self)


# --- threads ----------------------------------------------------------------------------------------------

# What of a thread is its own; everything else is taken from one that was never started.
_KEPT = ("_target", "_args", "_kwargs", "_name", "_daemonic", "_context", "name")


def restart(thread, queues=()):
    """Runs the same Thread object again: identity and the SDK's own state stay, threading's state is new."""
    threading = sys.modules["threading"]
    if thread.is_alive():
        return
    fresh = threading.Thread(name="forkmend").__dict__
    for key, value in fresh.items():
        if key not in _KEPT:
            thread.__dict__[key] = value
    context = thread.__dict__.get("_context")
    if context is not None:
        thread.__dict__["_context"] = context.copy()  # 3.14: the lost thread never left it
    if not thread._daemonic:
        # The program ends it somewhere, or it would not end; a child rarely comes by there.
        thread._daemonic = True
        atexit.register(_wait_for, _weakref.ref(thread), [_weakref.ref(queue) for queue in queues])
    thread.start()
    if not thread.is_alive() and not thread._started.is_set():
        threading.Thread.start(thread)  # its own start() has a guard


def _wait_for(thread, queues):
    """At exit, for a thread that was no daemon: until its work is done, within reason."""
    time = sys.modules["time"]
    until = time.monotonic() + EXIT_WAIT_S
    while time.monotonic() < until:
        living = thread()
        unfinished = [queue for queue in (reference() for reference in queues) if queue and queue.unfinished_tasks]
        if living is None or not living.is_alive() or not unfinished:
            return
        with unfinished[0].all_tasks_done:
            unfinished[0].all_tasks_done.wait(until - time.monotonic())


def _work_of(thread):
    target = thread.__dict__.get("_target")
    if target is None:
        return None
    return type(thread), getattr(target, "__func__", target), id(getattr(target, "__self__", None))


def successor(thread, queues, living):
    """A live thread that the runtime itself started to do the work of a lost one."""
    if thread.is_alive():
        return thread
    work, runtime = _work_of(thread), runtime_of(thread)
    for other in living:
        if other is thread:
            continue
        if work is not None and work == _work_of(other):
            return other
        if queues and type(other) is type(thread) and runtime_of(other) == runtime:
            consumed = reach(roots_of(other)).queues
            if any(queue is mine for queue in consumed for mine in queues):
                return other
    return None


# --- in the parent -----------------------------------------------------------------------------------------

eager_groups = []


def _sockets(found):
    """(descriptor, inode) of connected streams."""
    pairs = []
    for connection in found:
        try:
            fd = connection.fileno()
        except Exception:
            continue
        inode = _stream_inode(fd) if fd >= 0 else 0
        if inode:
            pairs.append((fd, inode))
    return pairs


def plan(cured):
    """The groups of the threads that a fork is about to lose, and of those lost before and not revived."""
    groups, alone = [], []
    for thread, runtime in cured:
        try:
            found = reach(roots_of(thread))
        except Exception as error:
            _problem("%s: %r is left as it is: %r" % (runtime[0], thread._name, error))
            continue
        workers = sys.modules.get("concurrent.futures.thread")
        if workers is not None and thread.__dict__.get("_target") is workers._worker:
            found.executors = list(executors_of(thread))
            found.queues, found.simple_queues = [], []
        else:
            found.executors = []
        if found.queues or found.simple_queues or found.executors:
            _group_for(groups, runtime, found).add(thread, found)
        else:
            alone.append((thread, runtime, found))
    for thread, runtime, found in alone:
        _group_for(groups, runtime, found).add(thread, found)
    names = set()
    for group in groups:
        if group.name not in names:
            names.add(group.name)
            group.locks.extend(of_runtime(group.name))
        group.kept = kept_by_forker(
            group.locks + [queue.mutex for queue in group.queues])
    for reference in list(waiting_groups):
        group = reference()
        if group is None or group.state != "waiting":
            waiting_groups.remove(reference)
        else:
            groups.append(group)
    return groups


def _group_for(groups, runtime, found):
    """Threads without a queue go with the first group of their runtime: none of them is worth a trigger alone."""
    mine = [group for group in groups if group.runtime == runtime]
    for group in mine:
        for queue in found.queues + found.simple_queues + found.executors:
            if any(queue is known for known in group.queues + group.simple_queues + group.executors):
                return group
    if mine and not (found.queues or found.simple_queues or found.executors):
        return mine[0]
    group = Group(runtime)
    groups.append(group)
    return group


def start_eager_groups():
    """The last hook of the child: threads that nothing visible would bring back."""
    groups = list(eager_groups)
    del eager_groups[:]
    for group in groups:
        group.first_enqueue()


sys.modules["posix"].register_at_fork(after_in_child=start_eager_groups)
