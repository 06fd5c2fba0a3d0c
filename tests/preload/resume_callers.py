"""A library's pool is used by a child while, at the fork, a thread of Python's is inside of the library, with a lock of it.

    resume_callers.py LIBRARY FORKS

That thread is lost, and with it the lock that the child's own call takes, unless fork waited until it had come out.
"""

import ctypes
import os
import sys
import threading

import steps


def main():
    library = ctypes.CDLL(sys.argv[1])
    none = ctypes.c_void_p()
    if library.pool_start(b"", none, none, none) != 0:
        sys.exit("the pool's thread could not be created")

    def compute():
        while True:
            library.pool_compute()  # ctypes gives the interpreter's lock away for the call

    def child():
        steps.step("computes")
        library.pool_compute()
        library.pool_submit()
        library.pool_wait()
        return 0

    threading.Thread(target=compute, daemon=True).start()
    for _ in range(int(sys.argv[2])):
        code = steps.reap(steps.spawn(child), 20)
        if code != 0:
            os._exit(code)
    os._exit(0)


main()
