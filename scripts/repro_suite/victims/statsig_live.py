"""A server that forks while its Statsig instance is alive, over and over; the child uses it.

    statsig_live.py ACTION [--first N] [--count N] [--service URL] [--event-prefix P]

ACTION is what the child does: flush, shutdown, new (an instance of its own), mixed (all of it), exit (sys.exit); thread
forks from a thread of Python's, initialising while the parent's instance is initialising. With --service each child
logs an event under a unique name and flushes it, and so does the parent beside it; --pending leaves an event of the
parent's unflushed at each fork.

Promises: the events of repro_suite/fork_loop.py, and `logged` and `flushed`. Does not: time out.
"""

import argparse
import os
import sys
import threading
import time
import traceback

from driver_channel import DriverChannel
from statsig_python_core import Statsig, StatsigOptions, StatsigUser

WRONG_RESULT, RAISED = 21, 22
GATE = "test_gate"


class Live:
    def __init__(self, channel, options):
        self._channel = channel
        self._options = options
        self._instance = None

    def create(self, wait=True):
        service = self._options.service
        if service is None:
            instance = Statsig("", StatsigOptions(disable_network=True))
        else:
            instance = Statsig("secret-repro", StatsigOptions(
                specs_url=service + "/v2/download_config_specs", log_event_url=service + "/v1/log_event",
                id_lists_url=service + "/v1/get_id_lists"))
        event = instance.initialize()
        if wait:
            event.wait()
        return instance, event

    def log(self, instance, fork, who, flush=True):
        """An event under a name of its own, flushed; nothing without a service but the flush."""
        name = "%s-%d-%s" % (self._options.event_prefix, fork, who)
        instance.log_event(StatsigUser("%s-%d" % (who, os.getpid())), name)
        self._channel.emit("logged", who=who, fork=fork, name=name)
        if flush:
            instance.flush_events().wait()
            self._channel.emit("flushed", who=who, fork=fork, name=name)

    def shut_down(self, instance):
        instance.shutdown().wait()

    def in_child(self, instance, fork):
        action = self._options.action
        if action == "exit":
            sys.exit(0)
        if action == "shutdown":
            self.shut_down(instance)
            return 0
        if action in ("new", "mixed"):
            if action == "mixed":
                self.log(instance, fork, "child")
            fresh, _ = self.create()
            if not fresh.is_initialized():
                return WRONG_RESULT
            self.log(fresh, fork, "fresh")
            self.shut_down(fresh)
            if action == "mixed":
                self.shut_down(instance)
            return 0
        self.log(instance, fork, "child")
        if self._options.service is not None and action != "initialising":
            return 0 if instance.check_gate(StatsigUser("child"), GATE) else WRONG_RESULT
        return 0

    def fork(self, instance, fork):
        pid = os.fork()
        if pid == 0:
            code = RAISED
            try:
                code = self.in_child(instance, fork)
            except SystemExit:
                raise  # the child ends as a Python program does
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        return pid

    def fork_in_thread(self, instance, fork):
        pids = []
        thread = threading.Thread(target=lambda: pids.append(self.fork(instance, fork)))
        thread.start()
        thread.join()
        return pids[0]

    def run(self):
        options = self._options
        instance, _ = self.create()
        self._channel.emit("ready")
        fork_one = self.fork_in_thread if options.action == "thread" else self.fork
        for fork in range(options.first, options.first + options.count):
            self._channel.emit("forking", fork=fork)
            initialised = None
            if options.action == "initialising":
                instance, initialised = self.create(wait=False)
            if options.pending:
                self.log(instance, fork, "pending", flush=False)
            started = time.monotonic()
            child = fork_one(instance, fork)
            self._channel.emit("forked", fork=fork, child=child, seconds=round(time.monotonic() - started, 6))
            if initialised is not None:
                initialised.wait()
            self.log(instance, fork, "parent")
            self._channel.emit("waiting")
            pid, status = os.waitpid(child, 0)
            status = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
            self._channel.emit("exited", child=pid, status=status)
        self.shut_down(instance)
        self._channel.emit("done")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=["flush", "shutdown", "new", "mixed", "exit", "thread", "initialising"])
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--service")
    parser.add_argument("--event-prefix", default="event")
    parser.add_argument("--pending", action="store_true")
    Live(DriverChannel(), parser.parse_args()).run()


if __name__ == "__main__":
    main()
