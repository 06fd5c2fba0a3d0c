"""Everything that a program can leave to the end of its process, with a thread beside it: exit_order.py LIBRARY FILE.

What is written, to stdout and to FILE, and in which order, is the same with the shim and without it.
"""

import atexit
import ctypes
import sys
import threading
import time
import weakref

library, path = sys.argv[1:]
libc = ctypes.CDLL(None)
entry = ctypes.CDLL(library)
if entry.exit_entry_start(b"asks") != 0:
    sys.exit(98)
while entry.exit_entry_entered() < 1:
    time.sleep(0.001)


class Thing:
    def __init__(self, name):
        self.name = name

    def __del__(self, write=sys.stdout.write):
        write("del %s\n" % self.name)


# Never closed nor flushed by the program.
left_open = open(path, "w")
left_open.write("a line in a file's buffer\n")
atexit.register(print, "first handler, runs last")
weakref.finalize(Thing("finalized"), print, "finalize")
kept = Thing("kept")
kept.cycle = Thing("in a cycle")
kept.cycle.back = kept
atexit.register(print, "second handler")
# libc's own: its stdio buffer, flushed after everything of Python's, and handlers in reverse order.
libc.printf(b"in libc's buffer\n")
libc.strdup.restype = ctypes.c_void_p
for text in (b"libc handler one", b"libc handler two"):
    libc.__cxa_atexit(ctypes.cast(libc.puts, ctypes.c_void_p), ctypes.c_void_p(libc.strdup(text)), None)
threading.Thread(target=lambda: (time.sleep(0.05), print("a thread that is waited for"))).start()
print("main ends")
sys.exit(3)
