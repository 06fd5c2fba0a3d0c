"""A library's pool, whose one thread cannot be resumed: the child hands work to it, and must not come to harm.

    resume_refused.py LIBRARY state|interpreter|coroutine|greenlet
    resume_refused.py LIBRARY contender     waits for a lock that a thread of Python's holds: goes on once it is opened
    resume_refused.py LIBRARY resumed       a subinterpreter has been there and is gone: that keeps nobody from it
    resume_refused.py LIBRARY left-greenlets  the thread has been in greenlets and has left Python: goes on
    resume_refused.py LIBRARY in-greenlet   the program forks, and the child uses the pool, in a greenlet: goes on

What would be the harm: CPython frees in the child what a thread with a thread state needs to go on. No victim has a
subinterpreter that is alive at the fork: CPython's own child hangs (3.8 to 3.12) or aborts (3.13) in that case.
Greenlets of a thread share its stack: the part of one that is suspended lies on the heap, under another's frames.
"""

import ctypes
import os
import sys
import threading

import steps

CALL = ctypes.CFUNCTYPE(None)
API = ("PyGILState_Ensure", "PyEval_SaveThread")
REVIVED = ("resumed", "contender", "left-greenlets", "in-greenlet")


def beside_suspended(body):
    """Runs body in a greenlet, where another that is suspended had its frames."""
    import greenlet
    suspended = greenlet.greenlet(lambda: greenlet.getcurrent().parent.switch())
    suspended.switch()
    greenlet.greenlet(body).switch()
    assert not suspended.dead


class Pool:
    def __init__(self, library, thread_is):
        self.blocked = threading.Lock()
        self._reader, self._writer = os.pipe()
        self._library = ctypes.CDLL(library)
        self._call = CALL({
            "greenlet": lambda: beside_suspended(self._library.pool_serve),
            "left-greenlets": lambda: beside_suspended(lambda: None),
        }.get(thread_is, self._block))
        addresses = [ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p) for name in API]
        self.blocked.acquire()
        if thread_is == "contender":
            threading.Thread(target=self._library.pool_hold, daemon=True).start()
            self._library.pool_wait_until_held()
        if self._library.pool_start(thread_is.encode(), *addresses, self._call) != 0:
            sys.exit("the pool's thread could not be created")
        if thread_is == "interpreter":
            os.read(self._reader, 1)
        steps.wait_until_idle()

    def _block(self):
        os.write(self._writer, b"x")
        self.blocked.acquire()

    def submit(self):
        self._library.pool_submit()

    def wait(self):
        self._library.pool_wait()


def tasks():
    return len(os.listdir("/proc/self/task"))


def pass_through_subinterpreter():
    """From the first one on PyGILState_Check() says yes in every thread."""
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:  # 3.13
        import _interpreters as interpreters
    interpreters.destroy(interpreters.create())


def use(library, thread_is):
    if thread_is == "resumed":
        pass_through_subinterpreter()
    pool = Pool(library, thread_is)

    def child():
        pool.submit()
        steps.step("submitted")
        if thread_is in REVIVED:
            pool.wait()
            return 0 if tasks() == 2 else 10
        return 0 if tasks() == 1 else 11

    os._exit(steps.reap(steps.spawn(child), 20))


def main():
    library, thread_is = sys.argv[1:]
    if thread_is == "in-greenlet":
        beside_suspended(lambda: use(library, thread_is))
    else:
        use(library, thread_is)


main()
