"""Leaves while a thread of tests/programs/exit_entry.cc is about to enter the interpreter: exit_entry.py LIBRARY MODE."""

import atexit
import ctypes
import sys
import threading
import time

library, mode = sys.argv[1:]
entry = ctypes.CDLL(library)
if entry.exit_entry_start(mode.encode()) != 0:
    sys.exit(98)
# Without the GIL, or the worker never gets in.
while entry.exit_entry_entered() < 1:
    time.sleep(0.001)
# A daemon thread of Python's own, which CPython throws out as well.
threading.Thread(target=lambda: [time.sleep(0.001) for _ in iter(int, 1)], daemon=True).start()


class Lingers:
    """While the interpreter finalises, it lets go of the GIL."""

    def __init__(self):
        self.usleep = ctypes.CDLL(None).usleep

    def __del__(self):
        self.usleep(200_000)


sys.lingers = Lingers()  # whose names are cleared last, and for certain
atexit.register(print, "atexit", flush=True)
print("leaves")  # buffered where stdout is a pipe
sys.exit(3)
