"""Daemons, and what they mount: whether they are there, and an end to them that comes for certain."""

import contextlib
import os
import pathlib
import signal
import subprocess
import time

from .machine import is_root
from .row import Fault

ANSWERS = 10  # seconds


@contextlib.contextmanager
def within(limit, what):
    """Raises where it takes more seconds. A timer, because a wait with a limit of its own looks only
    now and then, which would count in what is measured. Not one within another."""
    def late(*_):
        raise Fault(f"{what} took longer than {limit} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def is_running(pid):
    """Whether a process has not ended, reaped or not; None has."""
    if pid is None:
        return False
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # it is our child if we are the first process
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def end_process(pid):
    """Kills it, if it runs, and waits, but not for ever: a disk may hold it."""
    end = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < end:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def answers(mountpoint):
    """Something is mounted there, whose daemon answers. Asked by a process of its own, which is left
    alone if it gets none: it may not even be killed before the daemon is."""
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    asking = subprocess.Popen(["stat", "-f", mountpoint], **silent)
    try:
        return asking.wait(ANSWERS) == 0 and os.path.ismount(mountpoint)
    except subprocess.TimeoutExpired:
        return False


def detach(mountpoint):
    """What is mounted there, if anything is, goes out of sight, whoever has it open."""
    command = ["umount", "-l"] if is_root() else ["fusermount3", "-uz"]
    subprocess.run([*command, mountpoint], check=False, capture_output=True)
