"""The parent keeps a live Statsig instance; the child uses it.

    statsig_child.py flush|shutdown|new

Hangs without a cure (6 of 6 each): no lock is orphaned, the runtime's workers are lost.
"""

import os
import sys

from statsig_python_core import Statsig, StatsigOptions

import steps


def use_client(action, client, options):
    if action == "flush":
        client.flush_events().wait()
    elif action == "shutdown":
        client.shutdown().wait()
    else:
        Statsig("", options).initialize().wait()


def handle_request(action, client, options):
    steps.step("uses")
    use_client(action, client, options)  # the frame that the report must show


def main():
    action = sys.argv[1]
    options = StatsigOptions(disable_network=True)
    client = Statsig("", options)
    client.initialize().wait()
    threads = steps.wait_until_idle()
    steps.step("threads", threads)
    child = steps.spawn(lambda: handle_request(action, client, options))
    os._exit(steps.reap(child, 90))


main()
