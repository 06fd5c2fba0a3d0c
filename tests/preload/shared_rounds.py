"""multiprocessing's Lock, Barrier, Queue and Pool between forked processes, N rounds of each; prints "well".

The parent has a thread, so that each child has a lost one. All of these are process-shared: a lock that another process
holds must not be opened, nor a barrier or a semaphore be put right.
"""

import multiprocessing
import os
import sys
import threading

import steps

WORKERS = 2


def square(x):
    return x * x


def work(rounds, lock, barrier, queue, counter):
    for number in range(rounds):
        with lock:
            before = counter.value
            counter.value = before + 1
            if counter.value != before + 1:
                os._exit(3)
        barrier.wait(60)
        queue.put(number)


def main():
    rounds = int(sys.argv[1])
    context = multiprocessing.get_context("fork")
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    lock, barrier, queue = context.Lock(), context.Barrier(WORKERS), context.Queue()
    counter = context.RawValue("l", 0)
    workers = [context.Process(target=work, args=(rounds, lock, barrier, queue, counter)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    total = sum(queue.get(timeout=60) for _ in range(rounds * WORKERS))
    for worker in workers:
        worker.join()
    codes = [worker.exitcode for worker in workers]
    if codes != [0] * WORKERS or counter.value != rounds * WORKERS or total != WORKERS * rounds * (rounds - 1) // 2:
        sys.exit("workers ended with %r, %d rounds counted, sum %d" % (codes, counter.value, total))
    with context.Pool(WORKERS) as pool:
        for number in range(rounds):
            if pool.apply(square, (number,)) != number * number:
                sys.exit("the pool's result of %d is wrong" % number)
    stop.set()
    thread.join()
    steps.step("rounds", rounds)
    print("well")


main()
