"""Around a run: builds, makes a place for it, and leaves nothing behind however it ends."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from .machine import is_root, missing

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = TOP / "build" / "release"
PACKAGES = {  # of a command that is not named as its package
    "bsdtar": "libarchive-tools",
    "mksquashfs": "squashfs-tools",
    "squashfuse_ll": "squashfuse",
}


def common(script, *arguments):
    """Runs shell with what the scripts share; what it says goes to the terminal."""
    script = '. "$(dirname "$0")/common.sh"\n' + script
    command = ["sh", "-euc", script, TOP / "scripts" / "bench", *arguments]
    return subprocess.run(command, check=False, stdout=sys.stderr).returncode


def build():
    """Installs what is missing and builds what is measured, as the other scripts do."""
    status = common("""
        install_missing $build_packages
        build release "ollamafs make-store" -DOLLAMAFS_TESTS=OFF
    """)
    if status != 0:
        sys.exit(status)  # it has said why


def install(tools):
    """Each by itself: what a Debian does not have is skipped later."""
    for tool in missing(tools):
        common('install_missing "$@"', PACKAGES.get(tool, tool))


@contextlib.contextmanager
def place(parent):
    """A directory with copies of the programs, which another build does not change, for the run."""
    work = pathlib.Path(tempfile.mkdtemp(prefix="ollamafs-bench-", dir=parent))
    try:
        work.chmod(0o755)
        for program in (BUILD / "src/ollamafs", BUILD / "tests/support/make-store"):
            shutil.copy(program, work)
        yield work
    finally:
        remove(work)


def run_inside(work, arguments):
    """Runs the script again; as root in namespaces of its own, with which mounts and daemons end."""
    command = [sys.executable, "-B", "-m", "benchmark", *arguments, "--inside", work]
    if is_root():
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *command]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        unmount_below(work)


def unmount_below(work):
    """What an ordinary user's run has left when it was killed."""
    for mount in reversed(pathlib.Path("/proc/self/mounts").read_text().splitlines()):
        mountpoint = mount.split()[1]
        if mountpoint.startswith(f"{work}/"):
            subprocess.run(["fusermount3", "-uz", mountpoint], check=False)


def remove(work):
    """Processes that were killed may need a moment to let go."""
    for _ in range(50):
        shutil.rmtree(work, ignore_errors=True)
        if not work.exists():
            return
        time.sleep(0.1)
    print(f"bench: could not remove {work}", file=sys.stderr)
