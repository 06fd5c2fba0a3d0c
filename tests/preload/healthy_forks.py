"""A parent with a live Statsig instance and Python threads forks N times; the children do what children do, and are well.

    healthy_forks.py N

Each uses what works without a cure: gates, events, threads, queues, sockets, subprocesses of its own.
"""

import logging
import os
import queue
import socket
import subprocess
import sys
import threading

from statsig_python_core import Statsig, StatsigOptions, StatsigUser

import steps


def use_gates(client):
    client.check_gate(StatsigUser("u"), "g")
    client.log_event(StatsigUser("u"), "e")
    return 0


def use_threads(_):
    work, results = queue.Queue(), []
    consumer = threading.Thread(target=lambda: [results.append(item) for item in iter(work.get, None)])
    consumer.start()
    for item in (1, 2, None):
        work.put(item)
    consumer.join()
    return 0 if results == [1, 2] else 1


def use_sockets(_):
    left, right = socket.socketpair()
    left.sendall(b"x")
    return 0 if right.recv(1) == b"x" else 2


def use_subprocess(_):
    return subprocess.call(["/bin/true"])


def use_logging(_):
    logging.getLogger("victim").debug("x")
    with threading.Lock():
        return 0


def fork_again(_):
    return steps.reap(steps.spawn(lambda: use_threads(None)))


def main():
    client = Statsig("", StatsigOptions(disable_network=True))
    client.initialize().wait()
    stop = threading.Event()
    threading.Thread(target=stop.wait, daemon=True).start()
    bodies = (use_gates, use_threads, use_sockets, use_subprocess, use_logging, fork_again)
    for i in range(int(sys.argv[1])):
        body = bodies[i % len(bodies)]
        code = steps.reap(steps.spawn(lambda body=body: body(client)), 30)
        if code != 0:
            os.write(2, ("fork %d, %s: %d\n" % (i, body.__name__, code)).encode())
            os._exit(code)
    os._exit(0)


main()
