"""The machine: what it is, dropping its caches, running commands on it and ending them."""

import contextlib
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import time

from .row import Fault, Skip

GIB = 1 << 30
IN_MEMORY = ("tmpfs", "ramfs")  # as `stat -f` calls them


def is_root():
    return os.geteuid() == 0


def describe(program):
    """What a table must say to be understood; `program` is ollamafs."""
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    versions = dict(line.rsplit(" ", 1) for line in said.splitlines())
    return {
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "ram_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB, 1),
        "libfuse": versions["libfuse"],
        "ollamafs": versions["ollamafs"],
        "root": is_root(),
    }


def missing(tools):
    return [tool for tool in tools if shutil.which(tool) is None]


def why_never_cold(directory):
    """Why what is read below a directory cannot be read from a disk; None: it can."""
    if not is_root():
        return "needs root, to drop the caches"
    kind = run("stat", "-f", "-c", "%T", directory, stdout=subprocess.PIPE).stdout.strip()
    if kind in IN_MEMORY:
        return f"never cold: the work directory is on {kind}, whose files are memory; see --dir"
    return None


def drop_caches():
    """Files and names are read from the disk next. What is dirty stays, so write with fsync."""
    try:
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError as error:
        raise Skip(f"the caches cannot be dropped: {error.strerror}") from error


def run(*command, **options):
    """Runs a command that must succeed; what it prints is dropped, what it says is kept."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL} | options
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **options)
    if done.returncode != 0:
        words = " ".join(os.fspath(word) for word in command)
        said = "; ".join(done.stderr.split("\n")).strip("; ")
        raise subprocess.SubprocessError(f"{words}: exit status {done.returncode}: {said}")
    return done


def seconds(*command):
    """How long a command takes."""
    start = time.perf_counter()
    run(*command)
    return time.perf_counter() - start


def shell(script, *arguments):
    """A command: the script with $1, $2 ...; it fails where any part of a pipe does."""
    return ("bash", "-euc", f"set -o pipefail; {script}", "bench", *arguments)


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


def detach(mountpoint):
    """What is mounted there, if anything is, goes out of sight, whoever has it open."""
    command = ["umount", "-l"] if is_root() else ["fusermount3", "-uz"]
    subprocess.run([*command, mountpoint], check=False, capture_output=True)


def open_fuse_to_everybody(work):
    """As root, in a mount namespace of our own: an ordinary user may mount, and let root in."""
    devices = work / "dev"
    devices.mkdir()
    run("mount", "-t", "tmpfs", "-o", "mode=0755", "none", devices)
    os.mknod(devices / "fuse", 0o020666, os.makedev(10, 229))
    os.chmod(devices / "fuse", 0o666)
    run("mount", "--bind", devices / "fuse", "/dev/fuse")
    (work / "fuse.conf").write_text("user_allow_other\n")
    run("mount", "--bind", work / "fuse.conf", "/etc/fuse.conf")
