"""Python without any package: threads, forks from several of them, multiprocessing, subprocesses. Prints "well"."""

import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
import threading
import time

import steps


def square(x):
    return x * x


def fork_some():
    for _ in range(20):
        code = steps.reap(steps.spawn(lambda: 0 if square(3) == 9 else 1), 30)
        if code != 0:
            os.write(2, b"a child of a thread: %d\n" % code)
            os._exit(code)


def main():
    lock = threading.Lock()
    with lock:
        stop = threading.Event()
    threads = [threading.Thread(target=fork_some) for _ in range(3)] + [threading.Thread(target=stop.wait)]
    for thread in threads:
        thread.start()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(square, range(20)) == [x * x for x in range(20)]
    for thread in threads[:3]:
        thread.join()
    # After the forks of other threads: with one at the same moment, submit() of 3.9 releases a lock twice.
    with concurrent.futures.ThreadPoolExecutor(4) as executor:
        assert list(executor.map(square, range(20))) == [x * x for x in range(20)]
    assert subprocess.run([sys.executable, "-c", "print(1)"], stdout=subprocess.PIPE).stdout == b"1\n"
    stop.set()
    threads[3].join()
    # A joined thread of CPython 3.12 and older may still be on its way out of the kernel.
    until = time.monotonic() + 5
    while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < until:
        time.sleep(0.001)
    steps.step("tasks", len(os.listdir("/proc/self/task")))
    print("well")


main()
