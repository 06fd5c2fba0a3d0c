"""The victim's side of its conversation with the driver.

Promises: one JSON object a line reaches the driver whole, from any process of the victim (a line shorter than PIPE_BUF
is one atomic write); whatever a library prints to stdout goes to stderr, so it cannot be mistaken for an event; when
the driver sends STACKS_SIGNAL the Python stacks of all threads go to the driver's stacks pipe.

Does not: buffer, lock or start a thread, so that it is usable on both sides of a fork. Runs under CPython 3.8 and later
with nothing but the standard library.
"""

import faulthandler
import json
import os
import signal
import sys

STACKS_SIGNAL = signal.SIGUSR1
STACKS_FD_VARIABLE = "REPRO_STACKS_FD"


class DriverChannel:
    """The private copy of stdout on which events are written."""

    def __init__(self):
        self._fd = os.dup(1)
        os.dup2(2, 1)
        stacks_fd = os.environ.get(STACKS_FD_VARIABLE)
        if stacks_fd is not None:
            faulthandler.register(STACKS_SIGNAL, file=int(stacks_fd), all_threads=True, chain=False)
        faulthandler.enable(file=sys.stderr)

    def emit(self, event, **fields):
        fields["event"] = event
        fields["pid"] = os.getpid()
        os.write(self._fd, json.dumps(fields).encode() + b"\n")
