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
from .processes import detach

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = TOP / "build" / "release"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
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
    work = pathlib.Path(tempfile.mkdtemp(prefix="ollamafs-bench-", dir=os.path.realpath(parent)))
    try:
        work.chmod(0o755)
        for program in (BUILD / "src/ollamafs", BUILD / "tests/support/make-store"):
            shutil.copy(program, work)
        yield work
    finally:
        remove(work)


class InnerRun:
    """What runs inside. Signals end it, never this program, which must clean up whatever else arrives."""

    def __init__(self):
        self.process = None
        self.signal = None  # the first that arrived
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup wants it
                signal.signal(number, self._arrived)

    def _arrived(self, number, _):
        self.signal = self.signal or number
        self.kill()

    def kill(self):
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def wait_in(self, work, arguments):
        """Runs the script again; as root in namespaces of its own, with which mounts and daemons end."""
        command = [sys.executable, "-B", "-m", "benchmark", *arguments, "--inside", work]
        if is_root():
            command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *command]
        if not self.signal:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
            if self.signal:  # it came in between
                self.kill()
            self.process.wait()
            self.kill()  # what it has left
        return self._status()

    def _status(self):
        """As a shell gives it, and said where it is a signal."""
        status = self.process.returncode if self.process else 0
        ended_by = self.signal or -min(status, 0)
        if ended_by:
            print(f"bench: ended by {signal.Signals(ended_by).name}", file=sys.stderr, flush=True)
            return 128 + ended_by
        return status


def mounts_below(work):
    """The last one first."""
    names = [line.split()[1] for line in pathlib.Path("/proc/self/mounts").read_bytes().splitlines()]
    paths = [os.fsdecode(name.decode("unicode_escape").encode("latin-1")) for name in names]
    return [path for path in reversed(paths) if path.startswith(f"{work}/")]


def remove(work):
    """Processes that were killed may need a moment to let go, or may just be mounting."""
    for _ in range(50):
        for mountpoint in mounts_below(work):
            detach(mountpoint)
        if not mounts_below(work):  # else what is mounted would be removed too
            shutil.rmtree(work, ignore_errors=True)
        if not work.exists():
            return
        time.sleep(0.1)
    print(f"bench: could not remove {work}", *mounts_below(work), sep="\n  ", file=sys.stderr)
