"""What a process that hangs is doing, from outside of it.

Promises: the kernel's view of every thread, and the Python stacks if the process registered faulthandler on the
agreed signal (victims/driver_channel.py); bounded in time; never raises because the process ended meanwhile.

Needs root for the kernel stack; without it that part says so. Unwinds no native stack: that is `forkmend report`'s
part.
"""

from __future__ import annotations

import os
import re
import select
from pathlib import Path

import psutil

from repro_suite.victims.driver_channel import STACKS_SIGNAL

THREAD_FILES = ("wchan", "syscall", "stack")
STATUS_LINES = ("Name:", "State:", "Tgid:", "PPid:", "Threads:", "SigPnd:", "SigBlk:", "ShdPnd:")
# faulthandler writes line by line and does not say when it is through: quiet for this long is taken for the end.
QUIET_S = 0.2
# A process that gets no CPU at all must not hold up the driver for longer.
LONGEST_S = 3.0


def dump(process: psutil.Process, stacks_fd: int) -> str:
    return "\n".join(_threads(process.pid) + _python_stacks(process, stacks_fd))


def _threads(pid: int) -> list[str]:
    lines: list[str] = []
    for task in sorted(Path("/proc/%d/task" % pid).glob("*"), key=lambda path: int(path.name)):
        lines.append("thread %s of %d" % (task.name, pid))
        status = _read(task / "status").splitlines()
        lines += ["  " + line.replace("\t", " ") for line in status if line.startswith(STATUS_LINES)]
        for name in THREAD_FILES:
            text = _read(task / name).strip().splitlines() or [""]
            lines.append("  %s: %s" % (name, text[0]))
            lines += ["    " + line for line in text[1:]]
    return lines or ["process %d has no threads any more" % pid]


def _catches_signal(pid: int) -> bool:
    """False for a victim that is no Python program: it would only be waited for."""
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)", _read(Path("/proc/%d/status" % pid)), re.MULTILINE)
    return caught is not None and bool(int(caught.group(1), 16) >> (STACKS_SIGNAL - 1) & 1)


def _python_stacks(process: psutil.Process, stacks_fd: int) -> list[str]:
    if not _catches_signal(process.pid):
        return []
    try:
        process.send_signal(STACKS_SIGNAL)
    except psutil.NoSuchProcess:
        return []
    text = b""
    wait_s = LONGEST_S
    while select.select([stacks_fd], [], [], wait_s)[0]:
        data = os.read(stacks_fd, 65536)
        if not data:
            break
        text += data
        wait_s = QUIET_S
    return text.decode(errors="replace").splitlines() or ["no Python stack within %g s" % LONGEST_S]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        return error.strerror or str(error)
