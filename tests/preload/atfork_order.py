"""Imports the modules named, makes them start their threads, forks with hooks of CPython's own, and ends well.

Beside libatfork_log.so, which says in which order libc calls the handlers of the libraries that came with them.
"""

import importlib
import os
import sys


def log(line):
    with open(os.environ["ATFORK_LOG"], "a") as file:
        file.write(line + "\n")


for name in sys.argv[1:]:
    importlib.import_module(name)
if "numpy" in sys.argv:
    import numpy

    numpy.ones((600, 600)) @ numpy.ones((600, 600))
if "pyarrow" in sys.argv:
    import pyarrow

    pyarrow.table({"k": [1, 2] * 100_000, "v": [1.0, 2.0] * 100_000}).group_by("k").aggregate([("v", "sum")])
for number in range(2):
    os.register_at_fork(
        before=lambda number=number: log("before hook-%d" % number),
        after_in_parent=lambda number=number: log("after-parent hook-%d" % number),
        after_in_child=lambda number=number: log("after-child hook-%d" % number),
    )
child = os.fork()
if child == 0:
    log("runs in the child")
    os._exit(0)
sys.exit(1 if os.waitpid(child, 0)[1] else 0)
