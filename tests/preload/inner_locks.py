"""Locks inside the interpreter that another thread holds at a fork: `inner_locks.py log|write|read|import [FORKS]`.

log, write: two threads write numbered lines to a slow pipe all the time; each child writes a line of its own. In the end every line
has arrived whole, and once. read: a thread waits for input. import: a thread is in the middle of an import. CPython 3.8 and later.
"""

import logging
import os
import sys
import tempfile
import threading
import time

import steps

WRONG = 2
WRITERS = 2


def lines(kind, forks):
    read_end, write_end = os.pipe()
    stream = os.fdopen(write_end, "w", buffering=1)
    stop, got = threading.Event(), []
    logger = logging.getLogger("victim")
    logger.setLevel("INFO")
    logger.propagate = False
    logger.addHandler(logging.StreamHandler(stream))
    counts = [0] * WRITERS

    def collect():
        while True:
            part = os.read(read_end, 4096)
            if not part:
                return
            got.append(part)
            time.sleep(0.0005)  # slower than the writers: the pipe is full, and a writer waits inside of write(2)

    def write(who):
        while not stop.is_set():
            line = "writer %d line %d %s" % (who, counts[who], "x" * 200)
            counts[who] += 1
            if kind == "log":
                logger.info(line)
            else:
                stream.write(line + "\n")

    collector = threading.Thread(target=collect, daemon=True)
    writers = [threading.Thread(target=write, args=(who,), daemon=True) for who in range(WRITERS)]
    for thread in [collector] + writers:
        thread.start()
    while sum(counts) < 2000:
        time.sleep(0.001)
    for number in range(forks):
        def child(number=number):
            os.close(read_end)
            steps.step("writes")
            logger.info("child %d", number)
            return 0

        code = steps.reap(steps.spawn(child), 8)
        if code:
            return code
    stop.set()
    for thread in writers:
        thread.join()
    stream.close()
    collector.join()
    text = b"".join(got).decode()
    expected = {"child %d" % number for number in range(forks)}
    expected.update("writer %d line %d %s" % (who, number, "x" * 200) for who in range(WRITERS) for number in range(counts[who]))
    arrived = text.split("\n")[:-1]
    if len(arrived) != len(set(arrived)) or set(arrived) != expected:
        odd = [line for line in arrived if line not in expected]
        sys.stderr.write("%d lines, %d different, expected %d: %r\n" % (len(arrived), len(set(arrived)), len(expected), odd[:3]))
        return WRONG
    return 0


def reader(forks):
    read_end, write_end = os.pipe()
    stream = os.fdopen(read_end, "rb")
    threading.Thread(target=stream.read, args=(10,), daemon=True).start()
    steps.wait_until_idle()

    def child():
        steps.step("closes")
        stream.close()
        return 0

    return max(steps.reap(steps.spawn(child), 8) for _ in range(forks))


def importer(forks):
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, "victim_slow.py"), "w") as file:
            file.write("import os, time\nfirst = 1\nif os.getpid() == %d:\n    time.sleep(600)\nlast = 1\n" % os.getpid())
        sys.path.insert(0, directory)
        threading.Thread(target=__import__, args=("victim_slow",), daemon=True).start()
        while "victim_slow" not in sys.modules or not hasattr(sys.modules["victim_slow"], "first"):
            time.sleep(0.001)
        steps.wait_until_idle()

        def child():
            steps.step("imports")
            import victim_slow

            return 0 if victim_slow.last == 1 else WRONG

        return max(steps.reap(steps.spawn(child), 8) for _ in range(forks))


if __name__ == "__main__":
    case, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
    os._exit(lines(case, count) if case in ("log", "write") else {"read": reader, "import": importer}[case](count))
