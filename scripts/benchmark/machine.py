"""The machine: what it is, dropping its caches, and running commands on it."""

import os
import pathlib
import platform
import shutil
import subprocess
import time

from .row import Skip

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
        return f"the work directory is on {kind}, which is never cold; see --dir"
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
