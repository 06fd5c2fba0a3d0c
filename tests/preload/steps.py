"""What every Python victim uses: steps that the runner sees (as tests/programs/victim.h), children with a deadline.

Python 3.8 and later.
"""

import contextlib
import ctypes
import os
import signal
import sys
import time

HUNG = 99


def step(name, value=None):
    line = "step %s %d %d\n" % (name, time.monotonic_ns(), os.getpid() if value is None else value)
    os.write(1, line.encode())


def begin_child():
    """A child does not outlive its parent."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def spawn(body):
    """Forks as programs do, by os.fork; the child ends with what body returns."""
    pid = os.fork()
    if pid == 0:
        code = 97
        try:
            begin_child()
            code = body() or 0
        except BaseException as error:  # the code says it all; the text is for a person
            os.write(2, ("%s: %r\n" % (sys.argv[0], error)).encode())
        finally:
            os._exit(code)
    return pid


def fork_inside():
    """Forks and returns in both, for a child that goes on inside a critical section: it ends by os._exit itself."""
    pid = os.fork()
    if pid == 0:
        begin_child()
    return pid


def reap(pid, seconds=60.0):
    """Exit code, 128 + signal, or HUNG."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done == pid:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        time.sleep(0.005)  # os.pidfd_open came with 3.9
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return HUNG


def hold(locks, taken, free):
    """A thread's body: takes the locks, says so, and keeps them until told."""
    with contextlib.ExitStack() as stack:
        for lock in locks:
            stack.enter_context(lock)
        taken.set()
        free.wait()


def wait_until_idle():
    """Until every thread but this one sleeps, in two looks: then no wake-up of theirs is under way."""
    looks = 0
    while looks < 2:
        time.sleep(0.02)  # before the look: what is done next is done right after it
        states = []
        for tid in os.listdir("/proc/self/task"):
            if int(tid) != os.getpid():
                with open("/proc/self/task/%s/stat" % tid) as file:
                    states.append(file.read().rpartition(")")[2].split()[0])
        looks = looks + 1 if all(state == "S" for state in states) else 0
    return len(states)
