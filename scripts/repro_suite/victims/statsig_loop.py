"""A server that forks with Statsig's fork hooks in place, over and over: the program of the published Statsig repro.

The main process has a shared instance. Before each fork it is shut down and removed; after it the parent and the child
each create and initialise one of their own. Children do nothing more and exit, except with --service, where parent and
child each evaluate a gate, log an event under a unique name and flush it, and the driver looks for it at the service.

Promises: an event for each step, so that the driver can tell which step a process hangs in; a child never asserts and
never goes on after a failed step: it exits with the code of that step. Does not kill or time out anything: that is the
driver's part, which has the clock and the stacks.
"""

import argparse
import itertools
import multiprocessing
import multiprocessing.connection
import os
import sys
import time
import traceback

from driver_channel import DriverChannel
from statsig_python_core import Statsig, StatsigOptions, StatsigUser

# Exit codes, one a step; above those that Python (1, 2) and shells (126 and up) use themselves.
STEP_EXIT_CODES = {"init": 21, "gate": 22, "log": 23, "flush": 24, "hook": 25}
GATE = "test_gate"


class StepFailed(Exception):
    """A step ended, with a wrong result."""

    def __init__(self, step, detail):
        super().__init__("%s: %s" % (step, detail))
        self.step = step


class Client:
    """The shared Statsig instance of this process, and what is done with it."""

    def __init__(self, channel, service, event_prefix):
        self._channel = channel
        self._event_prefix = event_prefix
        self._service = service
        self._fork = 0
        self._hook_failure = None

    def _options(self):
        if self._service is None:
            return "", StatsigOptions(disable_network=True)
        return "secret-repro", StatsigOptions(
            specs_url=self._service + "/v2/download_config_specs",
            log_event_url=self._service + "/v1/log_event",
            id_lists_url=self._service + "/v1/get_id_lists",
        )

    def create(self, who):
        """Creates and initialises the shared instance, and says how long that took."""
        started = time.monotonic()
        key, options = self._options()
        instance = Statsig.new_shared(key, options)
        instance.initialize().wait()
        if not instance.is_initialized():
            raise StepFailed("init", "initialize() ended, is_initialized() is false")
        self._channel.emit("init", who=who, fork=self._fork, seconds=round(time.monotonic() - started, 6))

    def work(self, who):
        """Uses the client and leaves with everything it logged flushed; nothing to do without a service."""
        if self._service is None:
            return
        instance = Statsig.shared()
        user = StatsigUser("%s-%d" % (who, os.getpid()))
        if instance.check_gate(user, GATE) is not True:
            raise StepFailed("gate", "check_gate() is not true: the specs did not arrive")
        name = "%s-%d-%s" % (self._event_prefix, self._fork, who)
        instance.log_event(user, name)
        self._channel.emit("logged", who=who, fork=self._fork, name=name)
        instance.flush_events().wait()
        self._channel.emit("flushed", who=who, fork=self._fork, name=name)

    def begin_fork(self, number):
        self._fork = number
        self._channel.emit("forking", fork=number)

    def hook_failure(self):
        """The step that failed inside an at-fork hook, where CPython would only print and forget it."""
        return self._hook_failure

    def install_hooks(self):
        os.register_at_fork(
            before=self._before_fork, after_in_parent=self._after_in_parent, after_in_child=self._after_in_child
        )

    def _before_fork(self):
        Statsig.shared().shutdown().wait()
        Statsig.remove_shared()

    def _after_in_parent(self):
        self._create_in_hook("parent")

    def _after_in_child(self):
        self._create_in_hook("child")

    def _create_in_hook(self, who):
        self._hook_failure = None
        try:
            self.create(who)
        except StepFailed as failure:
            self._hook_failure = failure
        except Exception as error:
            traceback.print_exc()
            self._hook_failure = StepFailed("hook", repr(error))


def run_child(channel, client):
    """The whole life of a child after the hooks ran; returns its exit code."""
    try:
        if client.hook_failure() is not None:
            raise client.hook_failure()
        client.work("child")
    except StepFailed as failure:
        channel.emit("failed", who="child", step=failure.step, detail=str(failure))
        return STEP_EXIT_CODES[failure.step]
    return 0


class OsForkChildren:
    """Children made with os.fork()."""

    def start(self, channel, client):
        pid = os.fork()
        if pid == 0:
            # Everything the interpreter would do at exit is left out, as in every server that forks by hand.
            os._exit(run_child(channel, client))
        return pid

    def wait_for_one(self):
        pid, status = os.wait()
        return pid, os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)


class MultiprocessingChildren:
    """Children made with multiprocessing's fork start method."""

    def __init__(self):
        self._context = multiprocessing.get_context("fork")
        self._live = {}

    def start(self, channel, client):
        process = self._context.Process(target=_run_child_and_exit, args=(channel, client))
        process.start()
        self._live[process.sentinel] = process
        return process.pid

    def wait_for_one(self):
        sentinel = multiprocessing.connection.wait(list(self._live))[0]
        process = self._live.pop(sentinel)
        process.join()
        pid, code = process.pid, process.exitcode
        process.close()
        return pid, code


def _run_child_and_exit(channel, client):
    sys.exit(run_child(channel, client))


def fork_loop(channel, client, children, first, count, width):
    """Forks `count` times, `width` children in flight at once; the next batch starts when all of one are gone."""
    numbers = iter(range(first, first + count))
    while True:
        batch = list(itertools.islice(numbers, width))
        if not batch:
            return
        for number in batch:
            client.begin_fork(number)
            child = children.start(channel, client)
            if client.hook_failure() is not None:
                raise client.hook_failure()
            channel.emit("forked", fork=number, child=child)
            client.work("parent")
        channel.emit("waiting")
        for _ in batch:
            child, status = children.wait_for_one()
            channel.emit("exited", child=child, status=status)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--first", type=int, default=1, help="number of the first fork")
    parser.add_argument("--count", type=int, required=True, help="forks")
    parser.add_argument("--width", type=int, default=1, help="children in flight at once")
    parser.add_argument("--via", choices=["fork", "multiprocessing"], default="fork")
    parser.add_argument("--service", help="base URL of the service; without it the client has no network")
    parser.add_argument("--event-prefix", default="event", help="what makes the names of this run's events unique")
    options = parser.parse_args()

    channel = DriverChannel()
    client = Client(channel, options.service, options.event_prefix)
    client.create("parent")
    client.install_hooks()
    channel.emit("ready")
    children = OsForkChildren() if options.via == "fork" else MultiprocessingChildren()
    try:
        fork_loop(channel, client, children, options.first, options.count, options.width)
    except StepFailed as failure:
        channel.emit("failed", who="parent", step=failure.step, detail=str(failure))
        return STEP_EXIT_CODES[failure.step]
    Statsig.shared().shutdown().wait()
    Statsig.remove_shared()
    channel.emit("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
