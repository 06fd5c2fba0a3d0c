"""Work is handed to threads that a fork lost and that nobody named: `handed_over.py SHAPE [STAGES [THREADS [FORKS]]]`.

A chain of stages, each with as many threads; each takes work in the way of its shape and hands it to the next stage. The child
hands work to the first and waits for what the last one answers. Then what has to be left alone: children that hand nothing
over, or take by themselves. CPython 3.8 and later.
"""

import asyncio
import collections
import multiprocessing
import os
import queue
import select
import sys
import threading
import time

import steps

WRONG, LOST, THREADS, DOUBLE = 2, 3, 4, 5
WITHIN_S = 5.0


class Stage:
    """Threads that take work, and hand it on to the next stage, or answer."""

    def __init__(self, then, threads):
        self.then = then
        self.make()
        for _ in range(threads):
            threading.Thread(target=self.run, daemon=True).start()

    def make(self):
        raise NotImplementedError

    def put(self, work):
        raise NotImplementedError

    def take(self):
        raise NotImplementedError

    def run(self):
        while True:
            for work in self.take():
                self.then(work)


class OfQueue(Stage):
    def make(self):
        self.inbox = queue.Queue()

    def put(self, work):
        self.inbox.put(work)

    def take(self):
        return [self.inbox.get()]


class OfSimpleQueue(OfQueue):
    def make(self):
        self.inbox = queue.SimpleQueue()


class OfEvent(Stage):
    """A deque and an event beside it."""

    def make(self):
        self.inbox, self.filled = collections.deque(), threading.Event()

    def put(self, work):
        self.inbox.append(work)
        self.filled.set()

    def take(self):
        self.filled.wait()
        self.filled.clear()
        while True:
            try:
                yield self.inbox.popleft()
            except IndexError:
                return


class OfCondition(Stage):
    """A deque and a condition beside it."""

    def make(self):
        self.inbox, self.filled = collections.deque(), threading.Condition()

    def put(self, work):
        with self.filled:
            self.inbox.append(work)
            self.filled.notify()

    def take(self):
        with self.filled:
            self.filled.wait_for(lambda: self.inbox)
            return [self.inbox.popleft()]


class OfList(OfCondition):
    """A list, which is empty while nothing is to be done, and a lock with a condition of it."""

    def make(self):
        self.inbox, self.lock = [], threading.Lock()
        self.filled = threading.Condition(self.lock)

    def take(self):
        with self.filled:
            self.filled.wait_for(lambda: self.inbox)
            taken = self.inbox[:]
            del self.inbox[:]
        return taken


class OfLoop(Stage):
    """An event loop that the thread's own function runs."""

    def make(self):
        self.loops = []

    def put(self, work):
        async def on():
            await asyncio.sleep(0)
            self.then(work)

        asyncio.run_coroutine_threadsafe(on(), self.loops[0])

    def run(self):
        if not self.loops:
            self.loops.append(asyncio.new_event_loop())
        loop = self.loops[0]
        asyncio.set_event_loop(loop)
        loop.run_forever()


class Pair:
    """Both ends of one store, as janus has: a thread takes by a condition, a loop's coroutine puts."""

    def __init__(self):
        self.items, self.lock = collections.deque(), threading.Lock()
        self.not_empty = threading.Condition(self.lock)

    async def put(self, work):
        with self.not_empty:
            self.items.append(work)
            self.not_empty.notify()

    def get(self):
        with self.not_empty:
            while not self.items:
                self.not_empty.wait()
            return self.items.popleft()


class OfPair(Stage):
    def make(self):
        self.pair = Pair()

    def put(self, work):
        step = self.pair.put(work)
        try:
            step.send(None)  # as a loop would
        except StopIteration:
            pass

    def take(self):
        return [self.pair.get()]


SHAPES = {"queue": OfQueue, "simple-queue": OfSimpleQueue, "event": OfEvent, "condition": OfCondition, "list": OfList,
          "loop": OfLoop, "pair": OfPair}


def tasks():
    return len(os.listdir("/proc/self/task"))


def until(condition):
    """For a thread that is on its way into a wait, which tells nobody."""
    end = time.monotonic() + WITHIN_S
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def chain(shape, stages, threads):
    answers = queue.Queue()
    out = os.pipe()

    def answer(work):
        os.write(out[1], b"%d\n" % work)

    first = last = SHAPES[shape](answer, threads)
    for _ in range(stages - 1):
        first = SHAPES[shape](first.put, threads)

    def ask(number):
        first.put(number)
        ready = select.select([out[0]], [], [], WITHIN_S)[0]
        return ready and os.read(out[0], 64) == b"%d\n" % number

    if shape == "loop":
        until(lambda: all(stage.loops and stage.loops[0].is_running() for stage in (first, last)))
    if not ask(0):
        return WRONG
    steps.wait_until_idle()

    def body():
        if tasks() != 1:
            return THREADS
        steps.step("uses")
        os.close(out[0]), os.close(out[1])
        out[:] = os.pipe()
        for number in range(1, 4):
            if not ask(number):
                return LOST
        return 0

    out = list(out)
    del answers
    return body


# --- what is left alone ------------------------------------------------------------------------------------


def stop_event():
    """A periodic thread is its parent's, also where the child sets the event that would end it."""
    stop, ticks, log = threading.Event(), [], collections.deque(maxlen=10)

    def run():
        ticks.append(os.getpid())
        log.append(1)
        while not stop.wait(3600):
            ticks.append(os.getpid())

    threading.Thread(target=run, daemon=True).start()
    steps.wait_until_idle()

    def body():
        stop.set()
        return 0 if tasks() == 1 and ticks == [os.getppid()] and list(log) == [1] else THREADS

    return body


def producer():
    """A thread that only puts; the child puts and takes by itself, and finds what its parent had put."""
    items, go = queue.Queue(), threading.Event()

    def run():
        while True:
            items.put(os.getpid())
            go.wait(3600)

    threading.Thread(target=run, daemon=True).start()
    steps.wait_until_idle()

    def body():
        parent = items.get(timeout=WITHIN_S)
        items.put("own")
        own = items.get(timeout=WITHIN_S)
        return 0 if (parent, own) == (os.getppid(), "own") and tasks() == 1 else WRONG

    return body


def takes_itself(kind):
    """The child works through what its parent had put, and uses the queue on."""
    items, busy, free = kind(), threading.Event(), threading.Event()

    def run():
        while True:
            if items.get() == "first":
                busy.set()
                free.wait()

    threading.Thread(target=run, daemon=True).start()
    items.put("first")
    busy.wait()
    for number in range(5):
        items.put(number)

    def body():
        taken = []
        while not items.empty():
            taken.append(items.get_nowait())
        items.put("own")
        own = items.get(timeout=WITHIN_S)
        return 0 if taken == [0, 1, 2, 3, 4] and own == "own" and tasks() == 1 else WRONG

    return body


def own_threads():
    """The child starts threads of its own on its parent's queue: they do what is in it, and there are no others."""
    items, busy, free, done = queue.Queue(), threading.Event(), threading.Event(), []

    def run():
        while True:
            work = items.get()
            if work == "first":
                busy.set()
                free.wait()
            done.append(work)
            items.task_done()

    def other():
        run()

    threading.Thread(target=run, daemon=True).start()
    items.put("first")
    busy.wait()
    for number in range(3):
        items.put(number)

    def body():
        items.unfinished_tasks -= 1  # "first" is its parent's
        threading.Thread(target=other, daemon=True).start()
        items.put("own")
        items.join()
        return 0 if done == [0, 1, 2, "own"] and tasks() == 2 else WRONG

    return body


def restarts(late):
    """The library starts its thread again, in a hook of its own or right before the put: it is not doubled."""
    items, started = queue.Queue(), []

    def run():
        started.append(os.getpid())
        while True:
            items.get()
            items.task_done()

    def start():
        threading.Thread(target=run, daemon=True).start()

    start()
    if not late:
        os.register_at_fork(after_in_child=start)
    steps.wait_until_idle()

    def body():
        if late:
            start()
        for _ in range(3):
            items.put(1)
        items.join()
        return 0 if started.count(os.getpid()) == 1 and tasks() == 2 else DOUBLE

    return body


def between_processes():
    """multiprocessing's queues are shared with the parent, whose thread goes on to serve them: nothing is started."""
    items, back = multiprocessing.SimpleQueue(), multiprocessing.SimpleQueue()

    def run():
        while True:
            back.put((os.getpid(), items.get()))

    threading.Thread(target=run, daemon=True).start()
    steps.wait_until_idle()

    def body():
        items.put("child")
        return 0 if back.get() == (os.getppid(), "child") and tasks() == 1 else WRONG

    return body


def join_of_parents():
    """What is unfinished is the parent's: join() does not wait for it where nobody could finish it."""
    items, busy, free = queue.Queue(), threading.Event(), threading.Event()

    def run():
        while True:
            items.get()
            busy.set()
            free.wait()
            items.task_done()

    threading.Thread(target=run, daemon=True).start()
    items.put("parent")
    items.put("parent")
    busy.wait()

    def body():
        steps.step("uses")
        items.join()
        free.set()
        items.put("child")
        items.join()
        return 0 if tasks() == 2 else WRONG

    return body


def full():
    """A bounded queue that was full at the fork."""
    items, busy, free, done = queue.Queue(2), threading.Event(), threading.Event(), []

    def run():
        while True:
            work = items.get()
            busy.set()
            free.wait()
            done.append(work)
            items.task_done()

    threading.Thread(target=run, daemon=True).start()
    items.put("busy")
    busy.wait()
    items.put("parent")
    items.put("parent")

    def body():
        steps.step("uses")
        free.set()
        items.put("child")
        items.join()
        return 0 if done == ["child"] else WRONG

    return body


CASES = {
    "stop-event": stop_event, "producer": producer, "takes-itself": lambda: takes_itself(queue.Queue),
    "takes-itself-simple": lambda: takes_itself(queue.SimpleQueue), "own-threads": own_threads,
    "restarts-at-fork": lambda: restarts(False), "restarts-at-put": lambda: restarts(True),
    "between-processes": between_processes, "join-of-parents": join_of_parents, "full": full,
}


def main():
    shape = sys.argv[1]
    stages, threads, forks = (int(word) for word in (sys.argv[2:] + ["1", "1", "1"][len(sys.argv) - 2:]))
    body = chain(shape, stages, threads) if shape in SHAPES else CASES[shape]()
    if isinstance(body, int):
        return body
    bad = 0
    for _ in range(forks):
        code = steps.reap(steps.spawn(body), 10)
        bad = bad or code
    return bad


if __name__ == "__main__":
    os._exit(main())
