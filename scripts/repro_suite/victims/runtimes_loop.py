"""Forks while a package's own threads are alive, over and over, and uses the package in the child.

    runtimes_loop.py PACKAGE OPERATION [--first N] [--count N] [--busy]

PACKAGE is a class below. The parent uses the package before the first fork and beside each child, so that a run also
shows that the parent keeps working. With --busy another thread uses it all the time, where the package allows that.

Promises: the events of repro_suite/fork_loop.py; a child ends by _exit with a code for each step, or by sys.exit()
where that is the operation. Does not: time out.
"""

import argparse
import asyncio
import concurrent.futures
import importlib
import os
import sys
import tempfile
import threading
import time
import traceback

from driver_channel import DriverChannel

WRONG_RESULT = 21
RAISED = 22


class Polars:
    """polars (Rust, rayon): its pool is made at the first parallel operation."""

    ROWS = 20_000

    def __init__(self):
        self._polars = importlib.import_module("polars")
        self._frame = self._polars.DataFrame({"key": [n % 97 for n in range(self.ROWS)], "value": range(self.ROWS)})

    def group(self):
        result = self._frame.group_by("key").agg(self._polars.col("value").sum())
        return result["value"].sum() == self.ROWS * (self.ROWS - 1) // 2

    def join(self):
        other = self._polars.DataFrame({"key": range(97), "name": range(97)})
        return self._frame.lazy().join(other.lazy(), on="key").collect().height == self.ROWS

    def sort(self):
        return self._frame.sort(["key", "value"])["value"][-1] == max(range(96, self.ROWS, 97))

    busy = group


class DuckDB:
    """DuckDB: a task scheduler of its own threads, one for each CPU, of one database in memory."""

    ROWS = 200_000

    def __init__(self):
        duckdb = importlib.import_module("duckdb")
        self._duckdb = duckdb
        self._connection = duckdb.connect(config={"threads": 4})
        self._connection.execute("create table t as select range as n, range %% 97 as key from range(%d)" % self.ROWS)

    def query(self):
        rows = self._connection.execute("select key, sum(n) from t group by key").fetchall()
        return len(rows) == 97 and sum(row[1] for row in rows) == self.ROWS * (self.ROWS - 1) // 2

    def threads(self):
        """In the child alone: it sets another number of threads, which joins those there are."""
        if not is_child():
            return self.query()
        self._connection.execute("set threads = 8")
        return self.query()

    def close(self):
        """In the child alone: the parent goes on with its database."""
        if not is_child():
            return self.query()
        self._connection.close()
        return True

    def exit(self):
        """In the child alone: it ends as a Python program does, which closes the database."""
        if not is_child():
            return self.query()
        sys.exit(0)

    def fresh(self):
        connection = self._duckdb.connect(config={"threads": 3})
        answer = connection.execute("select sum(range) from range(%d)" % self.ROWS).fetchone()
        connection.close()
        return answer[0] == self.ROWS * (self.ROWS - 1) // 2

    def busy(self):
        cursor = self._connection.cursor()
        return cursor.execute("select count(distinct n) from t").fetchone()[0] == self.ROWS


class Numpy:
    """numpy with the OpenBLAS of its wheel, which rebuilds its threads in a child."""

    def __init__(self):
        self._numpy = importlib.import_module("numpy")

    def multiply(self):
        a = self._numpy.ones((256, 256))
        return float((a @ a)[0, 0]) == 256.0



class Arrow:
    """pyarrow: pools that are rebuilt in a child."""

    ROWS = 200_000

    def __init__(self):
        self._arrow = importlib.import_module("pyarrow")
        self._arrow.set_cpu_count(4)
        columns = {"key": [n % 97 for n in range(self.ROWS)], "value": list(range(self.ROWS))}
        self._table = self._arrow.table(columns)

    def group(self):
        result = self._table.group_by("key", use_threads=True).aggregate([("value", "sum")])
        return sum(result["value_sum"].to_pylist()) == self.ROWS * (self.ROWS - 1) // 2

    busy = group


class LanceDB:
    """lancedb (Rust, tokio), which makes a runtime anew in a child."""

    def __init__(self):
        self._lancedb = importlib.import_module("lancedb")
        self._directory = tempfile.TemporaryDirectory(prefix="catalogue-lancedb-")
        database = self._lancedb.connect(self._directory.name)
        rows = [{"vector": [float(n), float(-n)], "name": str(n)} for n in range(50)]
        self._table = database.create_table("t", data=rows)

    def search(self):
        found = self._table.search([3.0, -3.0]).limit(1).to_list()
        return found[0]["name"] == "3"

    def fresh(self):
        return self._lancedb.connect(self._directory.name).open_table("t").count_rows() == 50


class Kafka:
    """confluent-kafka: librdkafka's threads behind a producer that is alive across the fork."""

    def __init__(self):
        kafka = importlib.import_module("confluent_kafka")
        brokers = os.environ["REPRO_KAFKA_BROKERS"]
        self._producer = kafka.Producer({"bootstrap.servers": brokers, "linger.ms": 1})
        self._delivered = 0

    def _on_report(self, error, message):
        if error is None and message.key() == str(os.getpid()).encode():
            self._delivered += 1

    def _send(self, messages):
        self._delivered = 0
        for _ in range(messages):
            self._producer.produce("catalogue", b"message", key=str(os.getpid()), on_delivery=self._on_report)

    def produce(self):
        self._send(10)
        while self._delivered < 10:
            self._producer.poll(0.1)
        return True

    def flush(self):
        self._send(10)
        return self._producer.flush(60) == 0 and self._delivered == 10


class Etcd:
    """etcd-client-py (Rust, tokio): each process has an event loop of its own, and the client of both."""

    def __init__(self):
        etcd_client = importlib.import_module("etcd_client")
        self._client = etcd_client.Client(endpoints=[os.environ["REPRO_ETCD"]])

    def put(self):
        async def put_and_get(key, value):
            async with self._client.connect() as communicator:
                await communicator.put(key, value)
                return await communicator.get(key)

        value = str(os.getpid()).encode()
        return bytes(asyncio.run(put_and_get(b"catalogue-" + value, value))) == value


class Executor:
    """concurrent.futures.ThreadPoolExecutor of the standard library."""

    def __init__(self):
        self._pool = concurrent.futures.ThreadPoolExecutor(max_workers=2)

    def submit(self):
        return [self._pool.submit(pow, 2, n).result() for n in range(5)] == [1, 2, 4, 8, 16]

    def shutdown(self):
        """In the child alone: what was submitted is done before."""
        if not is_child():
            return self.submit()
        future = self._pool.submit(pow, 2, 3)
        self._pool.shutdown(wait=True)
        return future.result() == 8


PACKAGES: dict = {
    "polars": Polars,
    "duckdb": DuckDB,
    "numpy": Numpy,
    "pyarrow": Arrow,
    "lancedb": LanceDB,
    "kafka": Kafka,
    "etcd": Etcd,
    "executor": Executor,
}
MAIN_PID = os.getpid()


def is_child():
    return os.getpid() != MAIN_PID


def run_child(operation):
    try:
        return 0 if operation() else WRONG_RESULT
    except SystemExit:
        raise
    except BaseException:
        traceback.print_exc()
        return RAISED


def repeat(operation):
    while True:
        operation()
        time.sleep(0.001)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("package", choices=PACKAGES)
    parser.add_argument("operation")
    parser.add_argument("--first", type=int, default=1, help="number of the first fork")
    parser.add_argument("--count", type=int, default=1, help="forks")
    parser.add_argument("--busy", action="store_true", help="another thread uses the package all the time")
    options = parser.parse_args()

    channel = DriverChannel()
    package = PACKAGES[options.package]()
    operation = getattr(package, options.operation)
    if not operation():
        print("wrong result before any fork", file=sys.stderr)
        return 1
    if options.busy:
        threading.Thread(target=repeat, args=(package.busy,), daemon=True).start()
    channel.emit("ready")
    for number in range(options.first, options.first + options.count):
        channel.emit("forking", fork=number)
        pid = os.fork()
        if pid == 0:
            os._exit(run_child(operation))
        channel.emit("forked", fork=number, child=pid)
        if not operation():
            channel.emit("failed", who="parent", step=options.operation, detail="wrong result beside the child")
            return 1
        channel.emit("waiting")
        _, status = os.waitpid(pid, 0)
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        channel.emit("exited", child=pid, status=code)
    channel.emit("done")
    sys.stderr.flush()
    # What the interpreter's end makes of a package's threads is another matter.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
