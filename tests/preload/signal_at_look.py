"""A child of a parent with idle threads waits, and a signal comes just when the shim looks at the wait.

    signal_at_look.py ROUNDS      FORKMEND_GRACE_MS and FORKMEND_THRESHOLD_MS say when it looks

The handler raises, as a server's worker does to leave. Without the shim each signal ends the wait that it meets. Ends with
0 if each did; "step lost N" says how many did not.
"""

import mmap
import os
import random
import signal
import struct
import sys
import threading
import time

import steps

PATIENCE_S = 1.0  # for a signal to end the wait; then another one is sent
EARLY_S, LATE_S = 0.0001, 0.001  # around the look
GRACE_S = float(os.environ["FORKMEND_GRACE_MS"]) / 1000

shared = mmap.mmap(-1, 16)  # the round that the child waits in, and since when


class Stop(Exception):
    pass


def stop(*_):
    raise Stop


def wait_again_and_again(rounds):
    signal.signal(signal.SIGTERM, stop)
    for number in range(1, rounds + 1):
        try:
            never = threading.Event()
            shared[:] = struct.pack("qd", number, time.monotonic())
            never.wait()
        except Stop:
            pass
    return 0


def wait_for_round(number, seconds):
    """When the wait of a round began, or None. Microseconds count: it looks, no event is as fast."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        current, since = struct.unpack("qd", shared[:])
        if current >= number:
            return since
    return None


def main():
    rounds = int(sys.argv[1])
    idle = threading.Event()
    for _ in range(2):
        threading.Thread(target=idle.wait, daemon=True).start()
    child = steps.spawn(lambda: wait_again_and_again(rounds))
    aim = random.Random(1)
    lost = 0
    for number in range(1, rounds + 1):
        since = wait_for_round(number, 30)
        if since is None:
            steps.step("stopped", number)
            break
        at = since + GRACE_S + aim.uniform(-EARLY_S, LATE_S)
        while time.monotonic() < at:
            pass
        os.kill(child, signal.SIGTERM)
        while number < rounds and wait_for_round(number + 1, PATIENCE_S) is None:
            lost += 1
            os.kill(child, signal.SIGTERM)
    steps.step("lost", lost)
    os._exit(steps.reap(child, 5) or (1 if lost else 0))


main()
