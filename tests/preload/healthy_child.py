"""The parent keeps a live Statsig instance and Python threads; the child waits long, and is well.

    healthy_child.py event|event-after-log|sigwait|queue|accept|epoll|join SECONDS

What it waits for comes after SECONDS, from the parent. The child ends with 0 then. One that has not used the client
has its own threads only: 9 is the code if it has more.
"""

import multiprocessing
import os
import select
import signal
import socket
import sys
import threading
import time

from statsig_python_core import Statsig, StatsigOptions, StatsigUser

import steps

OWN_THREADS = {"join": 2, "event-after-log": 6}  # a child that uses the client may get the client's back


def wait_for_event(client=None):
    """As a server's worker waits for SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    if client is not None:
        client.check_gate(StatsigUser("u"), "g")
        client.log_event(StatsigUser("u"), "e")
    steps.step("waits")
    stop.wait()
    return 0


def wait_for_signal():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    steps.step("waits")
    return 0 if signal.sigwait({signal.SIGTERM}) == signal.SIGTERM else 1


def wait_for_queue(queue):
    steps.step("waits")
    return 0 if queue.get() == "work" else 2


def wait_for_connection(listener):
    steps.step("waits")
    listener.accept()
    return 0


def wait_for_descriptor(reader):
    poll = select.epoll()
    poll.register(reader, select.EPOLLIN)
    steps.step("waits")
    return 0 if poll.poll() else 3


def wait_for_own_thread(seconds):
    """A thread that the child made itself: alive, and it ends."""
    thread = threading.Thread(target=time.sleep, args=(seconds,))
    thread.start()
    steps.step("waits")
    thread.join()
    return 0


def main():
    mode, seconds = sys.argv[1], float(sys.argv[2])
    client = Statsig("", StatsigOptions(disable_network=True))
    client.initialize().wait()
    idle = threading.Event()
    for _ in range(2):
        threading.Thread(target=idle.wait, daemon=True).start()
    reader, writer = os.pipe()
    listener = socket.create_server(("127.0.0.1", 0))
    queue = multiprocessing.get_context("fork").Queue()
    steps.wait_until_idle()
    body = {
        "event": wait_for_event,
        "event-after-log": lambda: wait_for_event(client),
        "sigwait": wait_for_signal,
        "queue": lambda: wait_for_queue(queue),
        "accept": lambda: wait_for_connection(listener),
        "epoll": lambda: wait_for_descriptor(reader),
        "join": lambda: wait_for_own_thread(seconds),
    }[mode]
    child = steps.spawn(body)
    time.sleep(seconds)
    threads = len(os.listdir("/proc/%d/task" % child))
    if threads > OWN_THREADS.get(mode, 1):
        steps.step("threads", threads)
        os._exit(9)
    if mode == "queue":
        queue.put("work")
    elif mode == "accept":
        socket.create_connection(listener.getsockname())
    elif mode == "epoll":
        os.write(writer, b"x")
    elif mode != "join":
        os.kill(child, signal.SIGTERM)
    os._exit(steps.reap(child, 30))


main()
