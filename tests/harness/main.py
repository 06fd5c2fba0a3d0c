"""The command line, and the order of things."""

import argparse
import concurrent.futures
import ctypes
import fnmatch
import importlib
import itertools
import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from harness import places, registry
from harness.context import Context
from harness.process import Failure

TAIL_LINES = 25

# Tests beside each other at most: they wait, but each starts a few processes first.
BESIDE = 6

# Shortest first, so that what breaks is known early; unit tests before all.
MODULES = ("unit", "header", "fuzz", "lockups", "primitives", "records", "raw_forks", "pools", "resume", "rerun", "declared", "by_signal", "exit",
           "forks", "forkall", "libc_calls", "deadlines", "busy", "allocators", "healthy", "harmless_environment",
           "harmless_programs", "loading", "reports", "python", "python_threads",
           "runtimes", "repro", "lint", "soak")


def main(argv) -> int:
    parser = argparse.ArgumentParser(prog="tests/run", description="Runs forkmend's tests (tests/README.md).")
    parser.add_argument("-k", metavar="PATTERN", action="append",
                        help="only tests whose name contains it, or matches it as a shell pattern")
    parser.add_argument("--skip", metavar="PATTERN", action="append", default=[],
                        help="not those whose name contains it, or matches it")
    parser.add_argument("--soak", action="store_true", help="the long ones as well")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results there as well")
    options = parser.parse_args(argv)
    for module in MODULES:
        importlib.import_module("cases." + module)
    chosen = [test for test in registry.ALL if (options.soak or not test.soak) and _wanted(test.name, options.k)
              and not (options.skip and _wanted(test.name, options.skip))]
    if options.list:
        print("\n".join(test.name for test in chosen))
        return 0
    if not chosen:
        parser.error("no test matches")
    if not places.LIBRARY.exists():
        parser.error("%s is missing: run make first" % places.LIBRARY)
    # SIGTERM ends the run like ^C: the processes of the test that runs go with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: orphans of a victim are ours, not init's
    _watch_orphans()
    started = time.monotonic()
    results = list(_run_all(chosen))
    failed = [result for result in results if result["failure"]]
    if options.json:
        options.json.write_text(json.dumps({"tests": results}, indent=1) + "\n")
    if failed:
        print("failed: " + " ".join(result["name"] for result in failed))
    print("%d tests in %.0f s" % (len(results), time.monotonic() - started))
    print("%d passed, %d failed" % (len(results) - len(failed), len(failed)), flush=True)
    return 1 if failed else 0


def _wanted(name, patterns) -> bool:
    return not patterns or any(pattern in name or fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _watch_orphans() -> None:
    """Reaps what victims leave behind; else the zombies of a thousand forks fill the table."""

    def reap():
        while True:
            for pid in _zombie_children():
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass
            time.sleep(1)

    threading.Thread(target=reap, daemon=True).start()


def _zombie_children():
    own = os.getpid()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            stat = Path("/proc/%s/stat" % name).read_text(errors="replace")
        except OSError:
            continue
        state, parent, _, session = stat[stat.rindex(")") + 2 :].split()[:4]
        # Leaders of a session are our own: subprocess waits for them.
        if state == "Z" and int(parent) == own and session != name:
            yield int(name)


def _run_all(chosen):
    for beside, neighbours in itertools.groupby(chosen, key=lambda test: test.beside):
        if beside is None:
            for test in neighbours:
                yield _print(_run_one(test))
            continue
        with concurrent.futures.ThreadPoolExecutor(BESIDE) as pool:
            for result in pool.map(_run_one, neighbours):
                yield _print(result)


def _run_one(test) -> dict:
    t = Context(test.name, test.deadline)
    started = time.monotonic()
    failure = tail = ""
    try:
        try:
            test.body(t)
            t.finish()
        finally:
            t.abandon()
    except Failure as error:
        failure = str(error)
    except KeyboardInterrupt:
        raise
    except Exception:  # a test that is broken is a test that failed; the others go on
        failure = "the test itself broke"
        tail = traceback.format_exc()
    if failure:
        lines = t.log.read_text(errors="replace").splitlines()
        tail += "\n".join(line[:400] for line in lines[-TAIL_LINES:])
    seconds = time.monotonic() - started
    t.remove()
    return {"name": test.name, "seconds": round(seconds, 2), "failure": failure, "tail": tail, "notes": t.notes}


def _print(result) -> dict:
    notes = "  " + ", ".join(result["notes"]) if result["notes"] else ""
    if result["failure"]:
        print("FAILED %s (%.1f s): %s" % (result["name"], result["seconds"], result["failure"]))
        for line in result["tail"].splitlines():
            print("    | " + line)
    else:
        print("ok     %s (%.1f s)%s" % (result["name"], result["seconds"], notes))
    sys.stdout.flush()
    return result
