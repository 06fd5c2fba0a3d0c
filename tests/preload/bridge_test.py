"""The bridge into CPython, under LD_PRELOAD: run it with each interpreter. Prints nothing when all is well.

Each step has its own exit status (below, in STEPS) and its own process, so that one cannot hide or upset another; no wait
is without a deadline. `bridge_test.py STEP` runs one.
"""

import ctypes
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

DEADLINE = 60  # seconds a step may take; the slowest takes 4
BUSY = 0.15  # seconds for which the registered thread holds up the drain
TICK = 0.002

libc = ctypes.CDLL(None)


class Api(ctypes.Structure):
    """forkmend_api of the public header, as far as it is used here."""

    _fields_ = [
        ("version", ctypes.c_uint32),
        ("add", ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)),
        ("adopt_lock", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)),
        ("adopt_thread", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)),
    ]


def register_runtime():
    api = Api.in_dll(libc, "forkmend_api_v1")
    runtime = api.add(b"bridge-test", None, None, ctypes.addressof(api))
    assert runtime, "the shim registers no runtime"
    return api, runtime


def wait_for(pid):
    """The exit status as a shell would give it; the child is killed when it takes too long."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        time.sleep(TICK)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError("the child hung")


def fork_and_exit(code):
    pid = os.fork()
    if pid == 0:
        os._exit(code)
    return wait_for(pid)


def idle_thread():
    """Makes the process one with threads: only then does the bridge act at a fork."""
    threading.Thread(target=threading.Event().wait, daemon=True).start()


def own_hook_runs_last_and_releases_the_gil():
    """A before-hook of the program makes a registered thread busy. The drain must come after it, and for as long as it
    lasts other Python threads must run: one of them ends the busy spell, and the busy thread needs the GIL to park."""
    api, runtime = register_runtime()
    reading, writing = os.pipe()
    go, is_busy = ctypes.create_string_buffer(32), threading.Event()
    libc.sem_init(go, 0, 0)
    ticks = [0]

    def registered():
        assert api.adopt_thread(runtime) == 0
        while True:
            libc.sem_wait(go)  # outside the interpreter, or it would not count as parked
            is_busy.set()
            os.read(reading, 1)  # not interposed: to the shim the thread runs

    def other():
        while is_busy.wait():
            is_busy.clear()
            end = time.monotonic() + BUSY
            while time.monotonic() < end:
                ticks[0] += 1
                time.sleep(TICK)
            os.write(writing, b"x")

    def before():
        libc.sem_post(go)
        while not is_busy.is_set() and ticks[0] == 0:
            time.sleep(TICK)

    threading.Thread(target=registered, daemon=True).start()
    threading.Thread(target=other, daemon=True).start()
    time.sleep(0.1)
    os.register_at_fork(before=before)
    start = time.monotonic()
    assert fork_and_exit(7) == 7
    took = time.monotonic() - start
    assert took >= BUSY * 0.8, "fork did not wait for a thread that a before-hook woke: %.3f s" % took
    assert ticks[0] >= 10, "no other Python thread ran during the drain: %d ticks" % ticks[0]
    assert took < 0.9, "the registered thread never parked, so the GIL was not released: %.3f s" % took


def a_thread_with_the_gil_is_not_stopped():
    """Registered threads that take locks while they hold the GIL, and hand it on (PyEval_SaveThread takes one itself):
    stopped there, they would keep the forking thread from its GIL until the deadline."""
    api, runtime = register_runtime()
    with_gil = ctypes.PyDLL(None)  # as a native library does that calls back into Python

    def registered():
        api.adopt_thread(runtime)
        mutex = ctypes.create_string_buffer(64)
        while True:
            for _ in range(20000):
                with_gil.pthread_mutex_lock(mutex)
                with_gil.pthread_mutex_unlock(mutex)
            libc.usleep(2000)

    for _ in range(2):
        threading.Thread(target=registered, daemon=True).start()
    time.sleep(0.1)
    took = []
    for _ in range(50):
        start = time.monotonic()
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        took.append(time.monotonic() - start)
        wait_for(pid)
    assert max(took) < 0.5, "fork was held up: %.3f s" % max(took)


def nothing_is_raised():
    """No exception leaks from our hooks, and one of the program's own hooks is reported as before."""
    idle_thread()
    seen = []
    sys.unraisablehook = lambda unraisable: seen.append(unraisable.exc_type)
    try:
        raise KeyError("pending while the hooks run")
    except KeyError:
        assert fork_and_exit(3) == 3
        assert sys.exc_info()[0] is KeyError
    assert seen == [], seen
    os.register_at_fork(before=lambda: 1 // 0)
    assert fork_and_exit(4) == 4
    assert seen == [ZeroDivisionError], seen


def every_way_to_fork():
    import multiprocessing

    idle_thread()
    assert fork_and_exit(5) == 5
    pid, terminal = os.forkpty()
    if pid == 0:
        os.write(1, b"from the child")
        os._exit(6)
    text = os.read(terminal, 100)
    assert text == b"from the child", text
    assert wait_for(pid) == 6
    quick = [sys.executable, "-S", "-c", "import sys; sys.exit(8)"]
    assert subprocess.Popen(quick, preexec_fn=lambda: os.setpgid(0, 0)).wait(10) == 8
    assert subprocess.Popen(quick).wait(10) == 8
    assert subprocess.Popen(quick, close_fds=False).wait(10) == 8
    assert wait_for(os.posix_spawn(sys.executable, quick, os.environ)) == 8
    process = multiprocessing.get_context("fork").Process(target=sys.exit, args=(9,))
    process.start()
    process.join(10)
    assert process.exitcode == 9, process.exitcode
    pid = os.fork()
    if pid == 0:
        os._exit(fork_and_exit(10))  # a child's child
    assert wait_for(pid) == 10
    pid = os.fork()
    if pid == 0:
        sys.exit(11)  # through the interpreter's own end
    assert wait_for(pid) == 11


def threads_fork_at_once():
    api, runtime = register_runtime()
    ready, for_ever = threading.Semaphore(0), ctypes.create_string_buffer(32)
    libc.sem_init(for_ever, 0, 0)

    def registered():
        api.adopt_thread(runtime)
        ready.release()
        libc.sem_wait(for_ever)

    codes = []
    threading.Thread(target=registered, daemon=True).start()
    ready.acquire()
    forkers = [
        threading.Thread(target=lambda n=n: codes.extend(fork_and_exit(n * 20 + i) - n * 20 for i in range(20)))
        for n in range(4)
    ]
    for forker in forkers:
        forker.start()
    for forker in forkers:
        forker.join(30)
        assert not forker.is_alive(), "a forking thread hangs"
    assert sorted(codes) == sorted(list(range(20)) * 4), codes


def nothing_else_changes():
    """Descriptors, signals and SIGINT's effect are the program's own, before and after a fork with threads."""

    def look():
        handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
        return sorted(os.listdir("/proc/self/fd")), handlers, signal.pthread_sigmask(signal.SIG_BLOCK, [])

    idle_thread()
    before = look()
    assert fork_and_exit(3) == 3
    assert look() == before
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
        raise AssertionError("SIGINT did nothing")
    except KeyboardInterrupt:
        pass
    pid = os.fork()
    if pid == 0:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt:
            os._exit(12)
    assert wait_for(pid) == 12


# --- what a report says; the victim is this script again, in a process of its own -------------------------------------


def make_orphan():
    """A mutex that a thread of the parent holds for ever."""
    mutex = ctypes.create_string_buffer(64)
    threading.Thread(target=lambda: (libc.pthread_mutex_lock(mutex), time.sleep(100)), daemon=True).start()
    time.sleep(0.1)
    return lambda: libc.pthread_mutex_lock(mutex)


def make_lost_waiter():
    """A condition variable on which a registered thread of the parent waits."""
    api, runtime = register_runtime()
    mutex, cond = ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)

    def wait():
        libc.pthread_mutex_lock(mutex)
        while True:
            libc.pthread_cond_wait(cond, mutex)

    threading.Thread(target=lambda: (api.adopt_thread(runtime), wait()), daemon=True).start()
    time.sleep(0.1)
    return wait


def innermost(wait):
    wait()


def forker():
    return os.fork()


def victim(kind):
    wait = make_orphan() if kind in ("orphan", "steal", "taken") else make_lost_waiter()
    pid = forker()
    if pid == 0:
        if kind == "own-sigint":
            signal.signal(signal.SIGINT, lambda *_: None)
        if kind == "steal":
            signal.signal(61, lambda *_: None)
        if kind == "taken":
            import resource

            number = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 65536) - 1
            os.dup2(os.open(os.environ["FORKMEND_DIR"] + "/taken", os.O_WRONLY | os.O_CREAT), number)
        innermost(wait)
        os._exit(1)
    time.sleep(1.5)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os._exit(0)


def reports_of(kind):
    with tempfile.TemporaryDirectory() as directory:
        environment = dict(os.environ, FORKMEND_DIR=directory, FORKMEND_GRACE_MS="300", PYTHONWARNINGS="ignore")
        subprocess.run(
            [sys.executable, __file__, "victim", kind], env=environment, stderr=subprocess.DEVNULL, timeout=20, check=True
        )
        if kind == "taken":
            assert os.path.getsize(directory + "/taken") == 0, "the program's own descriptor was written to"
        lines = [line for name in glob.glob(directory + "/*") if "taken" not in name for line in open(name)]
        return [event for event in map(json.loads, lines) if event["event"] == "lockup"]


def python_frames(event):
    return [(os.path.basename(frame["file"]), frame["function"]) for frame in event["wait"]["stack"]["python"]]


def a_report_has_the_python_stack():
    (event,) = reports_of("orphan")
    own = [function for name, function in python_frames(event) if name == "bridge_test.py"]
    assert own == ["<lambda>", "innermost", "victim", "<module>"], own
    caller = event["fork"]["caller"][0]
    assert (os.path.basename(caller["file"]), caller["function"]) == ("bridge_test.py", "forker"), caller
    assert caller["line"] == forker.__code__.co_firstlineno + 1, caller


def no_stack_where_the_program_took_what_it_needs():
    (event,) = reports_of("steal")
    assert python_frames(event) == [], event["wait"]
    (event,) = reports_of("taken")
    assert python_frames(event) == [], event["wait"]


def sigint_counts_only_while_it_is_pythons():
    (event,) = reports_of("waiter")
    assert event["verdict"] == "certain", event
    assert reports_of("own-sigint") == []


# --- how an interpreter is started -------------------------------------------------------------------------------------


def status_of(*arguments, **settings):
    environment = dict(os.environ, **settings)
    run = subprocess.run(
        [sys.executable, *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=20
    )
    return run.returncode, run.stderr.decode(errors="replace")


def every_way_to_start():
    seven = ("-c", "import json, sys; sys.exit(7)")
    for options in ("", "-S", "-I", "-E", "-S -I -E", "-X dev", "-X tracemalloc", "-X dev -X tracemalloc=5", "-b -B -u"):
        assert status_of(*options.split(), *seven) == (7, ""), (options, status_of(*options.split(), *seven))
    for allocator in ("debug", "malloc", "malloc_debug", "pymalloc", "pymalloc_debug"):
        assert status_of(*seven, PYTHONMALLOC=allocator) == (7, ""), allocator
    with tempfile.TemporaryDirectory() as directory:
        with open(directory + "/__main__.py", "w") as file:
            file.write("import sys\nsys.exit(7)\n")
        assert status_of(directory + "/__main__.py") == (7, "")
        assert status_of(directory) == (7, "")
        assert status_of("-m", "__main__", PYTHONPATH=directory)[0] in (0, 1, 7)
    assert status_of("-c", "import os; os._exit(13)") == (13, "")
    assert status_of("-m", "this") == (0, "")
    assert status_of() == (0, "")  # an empty standard input


def subinterpreters_are_left_alone():
    program = """
try:
    import _xxsubinterpreters as sub
except ImportError:
    import _interpreters as sub
import os, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
other = sub.create()
sub.run_string(other, "import json, os; id(json)")
sub.destroy(other)  # CPython itself cannot fork beside one
pid = os.fork()
if pid == 0: os._exit(7)
os._exit(os.waitpid(pid, 0)[1] >> 8)
"""
    result = status_of("-W", "ignore", "-c", program)
    assert result == (7, ""), result


STEPS = {
    "order-and-gil": (10, own_hook_runs_last_and_releases_the_gil),
    "gil-holder": (20, a_thread_with_the_gil_is_not_stopped),
    "exceptions": (11, nothing_is_raised),
    "ways-to-fork": (12, every_way_to_fork),
    "threads-fork": (13, threads_fork_at_once),
    "visible": (14, nothing_else_changes),
    "stack": (15, a_report_has_the_python_stack),
    "no-stack": (16, no_stack_where_the_program_took_what_it_needs),
    "sigint": (17, sigint_counts_only_while_it_is_pythons),
    "ways-to-start": (18, every_way_to_start),
    "subinterpreters": (19, subinterpreters_are_left_alone),
}


def run_steps():
    if not hasattr(libc, "forkmend_api_v1"):
        print("libforkmend.so is not preloaded", file=sys.stderr)
        return 2
    for name, (code, _) in STEPS.items():
        step = subprocess.Popen([sys.executable, "-W", "ignore", __file__, name])
        try:
            status = step.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            step.kill()
            status = "hung"
        if status != 0:
            print("bridge_test %s with %s: %s" % (name, sys.executable, status), file=sys.stderr)
            return code
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["victim"]:
        victim(sys.argv[2])
    if len(sys.argv) > 1:
        STEPS[sys.argv[1]][1]()
        sys.stdout.flush()
        os._exit(0)  # idle daemon threads are no part of a step
    sys.exit(run_steps())
