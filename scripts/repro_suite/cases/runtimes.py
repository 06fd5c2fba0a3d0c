"""The catalogue: what a child does that uses what its parent made, for one runtime after the other.

Those that break without the shim, and those that heal themselves and must stay as they are. Each operation is run with
the runtime idle at the fork and, where the victim can, with its threads at work.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from typing import Optional

from repro_suite import places, servers
from repro_suite.case import HEALTHY, Case, Expectation, Trial
from repro_suite.cases.etcd import ETCD_CLIENTS
from repro_suite.fork_loop import ForkLoop
from repro_suite.interpreters import Interpreter
from repro_suite.outcomes import Iteration
from repro_suite.packages import PackageSet, Program
from repro_suite.victim import VictimUnusable

SOURCES = places.VICTIMS / "runtimes"
PYTHON_VICTIM = places.VICTIMS / "runtimes_loop.py"
CXX = ("g++", "-std=c++20", "-O2", "-pthread", "-I", str(SOURCES))
LIBOMP_DIRECTORY = "/usr/lib/llvm-14/lib"
# A healthy child needs 0.3 s on a busy machine.
TIMEOUT_S = 5.0
BROKER_STARTS_WITHIN_S = 20


def compiled(name: str, source: str, *flags: str) -> Program:
    return Program(name, SOURCES / source, (*CXX, "{source}", *flags, "-o", "{out}"), (SOURCES / "fork_loop.h",))


SPDLOG = PackageSet(
    "spdlog", "1.10 (Debian)", (),
    (compiled("spdlog_async", "spdlog_async.cc", "-DSPDLOG_SHARED_LIB", "-DSPDLOG_COMPILED_LIB",
              "-DSPDLOG_FMT_EXTERNAL", "-lspdlog", "-lfmt"),),
)  # fmt: skip
THREAD_POOL = PackageSet("std::thread", "12 (Debian)", (), (compiled("thread_pool", "thread_pool.cc"),))
LIBGOMP = PackageSet("libgomp", "12 (Debian)", (), (compiled("openmp", "openmp.cc", "-fopenmp"),))
# gcc's code runs on libomp as well, which has libgomp's entry points; -fopenmp would link libgomp.
LIBOMP = PackageSet(
    "libomp", "14 (Debian)", (),
    (
        Program("openmp.o", SOURCES / "openmp.cc", (*CXX, "-fopenmp", "-c", "{source}", "-o", "{out}"),
                (SOURCES / "fork_loop.h",)),
        Program("openmp", SOURCES / "openmp.cc", ("g++", "{site}/openmp.o", "-L" + LIBOMP_DIRECTORY,
                "-Wl,-rpath," + LIBOMP_DIRECTORY, "-lomp", "-pthread", "-o", "{out}")),
    ),
)  # fmt: skip
OPENBLAS = PackageSet("OpenBLAS", "0.3.21 (Debian)", (), (compiled("openblas", "openblas.cc", "-lopenblas"),))
LIBUV = PackageSet("libuv", "1.44 (Debian)", (), (compiled("libuv_work", "libuv_work.cc", "-luv"),))
JEMALLOC = PackageSet(
    "jemalloc", "5.3 (Debian)", (), (compiled("jemalloc_background", "jemalloc_background.cc", "-l:libjemalloc.so.2"),)
)
GO = PackageSet(
    "Go c-shared", "1.19 (Debian)", (),
    (
        Program("libgowork.so", SOURCES / "go_work.go",
                ("/usr/lib/go/bin/go", "build", "-buildmode=c-shared", "-o", "{out}", "{source}")),
        compiled("go_loop", "go_loop.cc", "-L{site}", "-lgowork", "-Wl,-rpath,$ORIGIN"),
    ),
)  # fmt: skip
BROKER = compiled("kafka_broker", "kafka_broker.cc", "-lrdkafka")
LIBRDKAFKA = PackageSet(
    "librdkafka", "2.0 (Debian)", (), (compiled("kafka_producer", "kafka_producer.cc", "-lrdkafka"), BROKER)
)
POLARS = PackageSet("polars", "2.1.0", ("polars==2.1.0",))
DUCKDB = PackageSet("duckdb", "2.0.0", ("duckdb==2.0.0",))
NUMPY = PackageSet("numpy", "2.4.6", ("numpy==2.4.6",))
PYARROW = PackageSet("pyarrow", "26.0.1", ("pyarrow==26.0.1",))
LANCEDB = PackageSet("lancedb", "0.40.0", ("lancedb==0.40.0",))
CONFLUENT_KAFKA = PackageSet("confluent-kafka", "2.16.1", ("confluent-kafka==2.16.1",), (BROKER,))
STANDARD_LIBRARY = PackageSet("concurrent.futures", "stdlib", ())


class RuntimeCase(Case):
    """One operation on one runtime. Python's packages run with Debian's interpreter alone: the runtime is what counts,
    not the Python around it."""

    groups = ("runtimes",)
    default_timeout_s = TIMEOUT_S

    def __init__(self, name: str, packages: PackageSet, victim: str, operation: str, expectation: Expectation,
                 busy: bool = False, small: bool = False, profile: Optional[str] = None):  # fmt: skip
        self.name = name + ("/busy" if busy else "")
        self.title = "%s: %s%s" % (packages.name, operation, ", threads at work" if busy else "")
        self.package_sets = (packages,)
        self.expectation = expectation
        # Small: needs nothing but packages of a few megabytes.
        self.made_ready_for = ("test", "repro") if small else ("repro",)
        self.any_interpreter = not victim.startswith("python:")
        self._victim = victim
        self._operation = (operation, "--busy") if busy else (operation,)
        self._profile = profile

    def supports(self, interpreter: Interpreter) -> bool:
        return interpreter.is_debian

    def run(self, trial: Trial) -> Iterator[Iteration]:
        if self._profile is not None and "FORKMEND_DIR" in trial.environment:
            built_in = self._profile.startswith("+")
            trial.environment["FORKMEND_PROFILES"] = self._profile if built_in else str(SOURCES / self._profile)
        with contextlib.ExitStack() as helpers:
            if BROKER in trial.packages.programs:
                trial.environment["REPRO_KAFKA_BROKERS"] = helpers.enter_context(broker(trial))
            if trial.packages in ETCD_CLIENTS:
                try:
                    trial.environment["REPRO_ETCD"] = helpers.enter_context(servers.etcd())
                except servers.ServerMissing as missing:
                    raise VictimUnusable(str(missing)) from None
            yield from ForkLoop(trial, lambda first, count: self._argv(trial, first, count)).run()

    def _argv(self, trial: Trial, first: int, count: int) -> tuple[str, ...]:
        arguments = (*self._operation, "--first", str(first), "--count", str(count))
        kind, _, name = self._victim.partition(":")
        if kind == "python":
            return trial.victim_argv(PYTHON_VICTIM, name, *arguments)
        return (str(trial.site / name), *arguments)


@contextlib.contextmanager
def broker(trial: Trial) -> Iterator[str]:
    """A Kafka broker of the driver's, outside of what is under test; its address."""
    environment = {name: value for name, value in trial.environment.items() if name != "LD_PRELOAD"}
    process = subprocess.Popen(
        [str(trial.site / BROKER.name)], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        if not line:
            raise VictimUnusable("the Kafka broker did not start")
        yield json.loads(line)["brokers"]
    finally:
        process.stdin.close()
        try:
            process.wait(BROKER_STARTS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


ALWAYS = Expectation(0.9)
OFTEN = Expectation(0.2)


def idle_and_busy(name, packages, victim, operation, expectation, busy_expectation=None, **more) -> list[RuntimeCase]:
    return [
        RuntimeCase(name, packages, victim, operation, expectation, **more),
        RuntimeCase(name, packages, victim, operation, busy_expectation or expectation, busy=True, **more),
    ]


# In the order of the README's table.
CASES = [
    *(case for operation in ("log", "full", "shutdown", "exit")
      for case in idle_and_busy("spdlog/" + operation, SPDLOG, "program:spdlog_async", operation, ALWAYS, small=True,
                                profile="+spdlog")),
    *(case for operation in ("submit", "destroy", "join")
      for case in idle_and_busy("pool/" + operation, THREAD_POOL, "program:thread_pool", operation, ALWAYS, small=True,
                                profile="thread_pool.toml")),
    *(case for operation in ("region", "tasks")
      for case in idle_and_busy("libgomp/" + operation, LIBGOMP, "program:openmp", operation, ALWAYS, small=True)),
    *(case for operation in ("goroutines", "collect", "echo")
      for case in idle_and_busy("go/" + operation, GO, "program:go_loop", operation, ALWAYS, profile="+go")),
    # tokio by the names of its threads alone. etcd-client-py 0.5 makes its runtime anew in a child.
    *(RuntimeCase("tokio/put-" + packages.version, packages, "python:etcd", "put", ALWAYS,
                  profile="+tokio,-etcd-client") for packages in ETCD_CLIENTS[:2]),
    *(case for operation in ("produce", "flush")
      for case in idle_and_busy("librdkafka/" + operation, LIBRDKAFKA, "program:kafka_producer", operation, ALWAYS,
                                profile="+librdkafka")),
    RuntimeCase("librdkafka/destroy", LIBRDKAFKA, "program:kafka_producer", "destroy", HEALTHY, profile="+librdkafka"),
    RuntimeCase("librdkafka/flushed", LIBRDKAFKA, "program:kafka_producer", "flushed", ALWAYS, profile="+librdkafka"),
    *(case for operation in ("group", "join", "sort")
      for case in idle_and_busy("polars/" + operation, POLARS, "python:polars", operation, ALWAYS, profile="+polars")),
    # At work: the other thread is one of Python's, which the fork waits for (profile: callers).
    *idle_and_busy("duckdb/threads", DUCKDB, "python:duckdb", "threads", ALWAYS, profile="+duckdb"),
    # Not while another thread has a cursor: that keeps the database open.
    *(RuntimeCase("duckdb/" + operation, DUCKDB, "python:duckdb", operation, ALWAYS, profile="+duckdb")
      for operation in ("close", "exit")),
    RuntimeCase("duckdb/query", DUCKDB, "python:duckdb", "query", HEALTHY),
    *(RuntimeCase("confluent-kafka/" + operation, CONFLUENT_KAFKA, "python:kafka", operation, ALWAYS,
                  profile="+librdkafka")
      for operation in ("produce", "flush")),
    *(RuntimeCase("executor/" + operation, STANDARD_LIBRARY, "python:executor", operation, ALWAYS, small=True)
      for operation in ("submit", "shutdown")),
    *(case for operation in ("region", "tasks")
      for case in idle_and_busy("libomp/" + operation, LIBOMP, "program:openmp", operation, HEALTHY)),
    RuntimeCase("openblas/multiply", OPENBLAS, "program:openblas", "multiply", HEALTHY),
    RuntimeCase("libuv/work", LIBUV, "program:libuv_work", "work", HEALTHY, small=True),
    RuntimeCase("jemalloc/allocate", JEMALLOC, "program:jemalloc_background", "allocate", HEALTHY, small=True),
    # Idle alone: OpenBLAS itself locks up in the child of a process that multiplies in another thread at the fork.
    RuntimeCase("numpy/multiply", NUMPY, "python:numpy", "multiply", HEALTHY),
    *idle_and_busy("pyarrow/group", PYARROW, "python:pyarrow", "group", HEALTHY),
    # A search in the parent's table crashes in 1 % of the children, with the shim as without (3 of 400, 5 of 400); the
    # package itself calls that experimental.
    RuntimeCase("lancedb/fresh", LANCEDB, "python:lancedb", "fresh", HEALTHY),
]  # fmt: skip
