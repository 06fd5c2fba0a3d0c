"""Python threads that a fork loses, with the standard library alone: `lost_threads.py CASE`.

The child hands work to a thread of the parent's, or waits for one, and ends with a code for each step. CPython 3.8 and later.
"""

import asyncio
import concurrent.futures
import logging
import logging.handlers
import os
import queue
import sys
import threading
import time

import steps

WRONG, THREADS, LATE = 2, 3, 4
WITHIN_S = 2.0


class Consumer(threading.Thread):
    """What SDKs have: a daemon thread and a queue."""

    def __init__(self, tasks):
        super().__init__(daemon=True)
        self.tasks, self.done = tasks, []
        self.start()

    def run(self):
        while True:
            self.done.append(self.tasks.get())
            if hasattr(self.tasks, "task_done"):
                self.tasks.task_done()


def until(condition):
    """For effects that have no event: a thread of the case's own works them."""
    end = time.monotonic() + WITHIN_S
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def used(body):
    def child():
        steps.step("uses")
        began = time.monotonic()
        code = body()
        return code or (LATE if time.monotonic() - began > WITHIN_S else 0)

    return steps.spawn(child)


def queue_join():
    tasks = queue.Queue()
    consumer = Consumer(tasks)
    tasks.put("parent")
    tasks.join()

    def body():
        tasks.put("child")
        tasks.join()
        if "_put" in tasks.__dict__:
            return WRONG  # something is left of the trigger
        return 0 if consumer.done == ["parent", "child"] and threading.active_count() == 2 else THREADS

    return used(body)


def pending():
    """What was pending at the fork is the parent's."""
    tasks, gate = queue.Queue(), threading.Event()

    class Slow(Consumer):
        def run(self):
            gate.wait()
            Consumer.run(self)

    consumer = Slow(tasks)
    done = consumer.done
    tasks.put("parent")

    def body():
        gate.set()
        tasks.put("child")
        tasks.join()
        return 0 if done == ["child"] else WRONG

    return used(body)


def priority_queue():
    tasks = queue.PriorityQueue(maxsize=4)
    consumer = Consumer(tasks)

    def body():
        for number in range(20):
            tasks.put(number)
        tasks.join()
        return 0 if sorted(consumer.done) == list(range(20)) else WRONG

    return used(body)


def simple_queue():
    tasks = queue.SimpleQueue()
    consumer = Consumer(tasks)

    def body():
        tasks.put("child")
        return 0 if until(lambda: consumer.done == ["child"]) else WRONG

    return used(body)


class Client:
    """A class-level RLock, as SDKs guard their instances with."""

    lock = threading.RLock()
    plain = threading.Lock()

    def __init__(self):
        self.consumer = Consumer(queue.Queue())


def class_locks():
    client, taken, free = Client(), threading.Event(), threading.Event()
    locks = (Client.lock, Client.plain, client.consumer.tasks.mutex)
    threading.Thread(target=steps.hold, args=(locks, taken, free), daemon=True).start()
    taken.wait()

    def body():
        with Client.lock, Client.plain:
            client.consumer.tasks.put("child")
        client.consumer.tasks.join()
        return 0 if client.consumer.done == ["child"] else WRONG

    pid = used(body)
    free.set()
    return pid


def own_locks():
    """The forking thread is inside: what it holds it can release."""
    client = Client()
    with Client.lock, Client.plain, client.consumer.tasks.mutex:
        pid = os.fork()
        held = Client.plain.locked() and client.consumer.tasks.mutex.locked() and Client.lock._is_owned()
    if pid == 0:
        steps.begin_child()
        steps.step("uses")
        client.consumer.tasks.put("child")
        client.consumer.tasks.join()
        os._exit(0 if held and client.consumer.done == ["child"] else WRONG)
    return pid


global_tasks, global_done = queue.Queue(), []


def work_on_globals():
    while True:
        global_done.append(global_tasks.get())
        global_tasks.task_done()


def global_queue():
    threading.Thread(target=work_on_globals, daemon=True).start()

    def body():
        global_tasks.put("child")
        global_tasks.join()
        return 0 if global_done == ["child"] else WRONG

    return used(body)


def not_daemon():
    """A thread that the program would have to end: the child ends without doing so, with its work done."""
    tasks = queue.Queue()
    done_in, done_out = os.pipe()

    def work():
        while True:
            os.write(done_out, tasks.get())
            tasks.task_done()

    threading.Thread(target=work).start()

    def body():
        tasks.put(b"child")
        return None

    pid = os.fork()
    if pid == 0:
        steps.begin_child()
        steps.step("uses")
        body()
        sys.exit(0)
    code = steps.reap(pid, 8)
    steps.step("reaped", code)
    os._exit(code or (0 if os.read(done_in, 5) == b"child" else WRONG))


def grandchild():
    tasks = queue.Queue()
    consumer = Consumer(tasks)

    def inner():
        tasks.put("grandchild")
        tasks.join()
        return 0 if consumer.done == ["grandchild"] else WRONG

    def body():
        code = steps.reap(steps.spawn(inner), 5)  # before anything was put here
        tasks.put("child")
        tasks.join()
        return code or (0 if consumer.done == ["child"] else WRONG) or revived_then_forked()

    def revived_then_forked():
        def last():
            tasks.put("second")
            tasks.join()
            return 0 if consumer.done == ["child", "second"] else WRONG

        return steps.reap(steps.spawn(last), 5)

    return used(body)


def executor():
    pool = concurrent.futures.ThreadPoolExecutor(2)
    pool.submit(int).result()
    return used(lambda: 0 if pool.submit(os.getpid).result() == os.getpid() else WRONG)


def executor_exit():
    """The child ends as processes do: nobody waits for its parent's workers."""
    pool = concurrent.futures.ThreadPoolExecutor(2)
    pool.submit(int).result()
    pid = os.fork()
    if pid == 0:
        steps.begin_child()
        steps.step("uses")
        sys.exit(0 if pool.submit(os.getpid).result() == os.getpid() else WRONG)
    return pid


class Collect(logging.Handler):
    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


def queue_listener(kind):
    tasks, collect = kind(), Collect()
    logger = logging.getLogger("victim")
    logger.addHandler(logging.handlers.QueueHandler(tasks))
    listener = logging.handlers.QueueListener(tasks, collect)
    listener.start()

    def body():
        logger.warning("child")
        return 0 if until(lambda: collect.messages == ["child"]) else WRONG

    return used(body)


def event_loop():
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def answer():
        await asyncio.sleep(0.01)
        return os.getpid()

    def ask():
        return asyncio.run_coroutine_threadsafe(answer(), loop).result()

    if ask() != os.getpid():
        return None
    pid = used(lambda: 0 if ask() == os.getpid() else WRONG)
    if ask() != os.getpid():  # the parent's loop is whole
        os._exit(WRONG)
    return pid


def future_of_lost():
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pool.submit(int).result()
    return used(lambda: pool.submit(os.getpid).result() and 0)


def thread_join():
    """By an embedder's fork, which does not tell threading that its threads are gone."""
    import ctypes

    thread = threading.Thread(target=time.sleep, args=(600,), daemon=True)
    thread.start()
    steps.wait_until_idle()
    pid = ctypes.PyDLL(None).fork()
    if pid == 0:
        steps.begin_child()
        steps.step("uses")
        thread.join()
        os._exit(0)
    return pid


def idle_child():
    """A child that uses nothing of its parent's pays no thread."""
    tasks = queue.Queue()
    consumers = [Consumer(tasks) for _ in range(50)]

    def body():
        with open("/proc/self/status") as file:
            count = int(next(line for line in file if line.startswith("Threads")).split()[1])
        return 0 if count == 1 and len(consumers) == 50 else THREADS

    return used(body)


CASES = {
    "queue-join": queue_join, "pending": pending, "priority-queue": priority_queue, "simple-queue": simple_queue,
    "global-queue": global_queue, "not-daemon": not_daemon, "grandchild": grandchild, "class-locks": class_locks,
    "own-locks": own_locks,
    "executor": executor, "executor-exit": executor_exit, "queue-listener": lambda: queue_listener(queue.Queue),
    "queue-listener-simple": lambda: queue_listener(queue.SimpleQueue), "event-loop": event_loop,
    "future": future_of_lost, "thread-join": thread_join, "idle": idle_child,
}


if __name__ == "__main__":
    os._exit(steps.reap(CASES[sys.argv[1]](), float(os.environ.get("VICTIM_S", "8"))))
