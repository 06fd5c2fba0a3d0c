"""A victim that forks like the real ones and misbehaves as told: `scripted_victim.py SCENARIO --first N --count N`.

The misbehaviour is at the second fork of a life. Children that hang do so in pause(), for ever.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "victims"))

from driver_channel import DriverChannel  # noqa: E402


def hang(*_):
    while True:
        signal.pause()


def leave_grandchild_that_hangs():
    if os.fork() == 0:
        hang()


IN_CHILD = {
    "child hangs": hang,
    "child crashes": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "child exits with 21": lambda: os._exit(21),
    "child leaves a grandchild": leave_grandchild_that_hangs,
    "traceback in child": lambda: os.write(2, b"Traceback (most recent call last):\n  ...\nValueError: x\n"),
    "panic in child": lambda: os.write(2, b"thread 'a' panicked at b.rs:1:2:\nunlucky\n"),
    "known panic in child": lambda: os.write(2, b"thread 'a' panicked at b.rs:1:2:\nwell known\n"),
}
IN_MAIN = {
    "main hangs": hang,
    "main crashes": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "main ends early": lambda: os._exit(0),
}
AT_EXIT = {
    "main hangs at exit": hang,
    "main crashes at exit": lambda: os.kill(os.getpid(), signal.SIGKILL),
}


def nothing():
    pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario")
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    options = parser.parse_args()
    if options.scenario == "never ready":
        sys.exit("this is why")
    channel = DriverChannel()
    print("something a library prints")
    channel.emit("ready")
    for number in range(options.first, options.first + options.count):
        misbehaves = number == options.first + 1
        channel.emit("forking", fork=number)
        pid = os.fork()
        if pid == 0:
            IN_CHILD.get(options.scenario if misbehaves else "", nothing)()
            os._exit(0)
        channel.emit("forked", fork=number, child=pid)
        IN_MAIN.get(options.scenario if misbehaves else "", nothing)()
        channel.emit("waiting")
        _, status = os.waitpid(pid, 0)
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        channel.emit("exited", child=pid, status=code)
    channel.emit("done")
    AT_EXIT.get(options.scenario, nothing)()


if __name__ == "__main__":
    main()
