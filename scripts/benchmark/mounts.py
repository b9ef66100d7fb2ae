"""Mounts of ollamafs and of its peers, and what their daemons hold."""

import os
import pathlib
import subprocess
import time

from .machine import is_root, run
from .processes import answers, detach, end_process, is_running, within
from .row import Fault, Skip

KERNEL_READS = "the kernel reads the blobs itself"
NOBODY = "65534"
COMES_UP, ENDS = 300, 30  # seconds; after these it is given up


class Daemon:
    """One that a command leaves at a mount point, for `with`: however that ends, nothing stays mounted."""

    def __init__(self, mountpoint, command, unmount):
        self.mountpoint = pathlib.Path(mountpoint)
        self.command, self.unmount = command, unmount

    def begin(self):
        raise NotImplementedError

    def __enter__(self):
        try:
            with within(COMES_UP, f"mounting {self.mountpoint}"):
                self.begin()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, kind, error, _):
        trouble = self.end()
        if trouble and kind is not Skip:
            raise Fault(f"{kind.__name__}: {error}; then {trouble}" if kind else trouble)

    def end(self):
        """Unmounts, by force where it must be; what was wrong then, or None."""
        pid = self.pid()
        try:
            with within(ENDS, f"unmounting {self.mountpoint}"):
                if not self.is_alive():
                    raise Fault(f"{self.mountpoint} does not answer any more")
                run(*self.unmount, self.mountpoint)
                while is_running(pid):
                    time.sleep(0.005)
        except (Fault, OSError, subprocess.SubprocessError) as error:
            end_process(pid)  # first: what waits for an answer of it then gets an error
            detach(self.mountpoint)
            return str(error)
        return None

    def is_alive(self):
        return answers(self.mountpoint)

    def pid(self):
        wanted = b"".join(os.fsencode(word) + b"\0" for word in self.command)
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cmdline").read_bytes() == wanted:
                    return int(process.name)
            except OSError:
                pass  # it has ended
        return None


class Mount(Daemon):
    """A mount in the background, as a user makes it; `ordinary`: by a user who is not root."""

    def __init__(self, program, store, mountpoint, ordinary=False, options=()):
        self.prefix, options = [], [word for option in options for word in ("-o", option)]
        self.ordinary = ordinary and is_root()
        if self.ordinary:
            self.prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
            options += ["-o", "allow_other"]  # root is another
        command = [program, "mount", *options, "--store", store, mountpoint]
        super().__init__(mountpoint, command, [program, "umount"])
        self.said = ""  # who reads the blobs

    def begin(self):
        if self.ordinary:
            self.mountpoint.mkdir(exist_ok=True)
            os.chown(self.mountpoint, int(NOBODY), int(NOBODY))
        lines = run(*self.prefix, *self.command).stderr.splitlines()
        self.said = next((line.split(": ", 1)[-1] for line in lines if "blobs" in line), None)
        if self.said is None:
            raise Fault(f"`ollamafs mount` did not say who reads the blobs, but: {lines}")

    @property
    def passthrough(self):
        return self.said.startswith(KERNEL_READS)

    def memory(self):
        """What the daemon holds, in MB, by the names of /proc/PID/status."""
        fields = dict(line.split(":", 1) for line in self._told("status").splitlines())
        return {
            name: int(fields[name].split()[0]) / 1000 for name in ("VmRSS", "RssAnon", "RssFile")
        }

    def reads(self):
        """How often the daemon read anything, a request of the kernel's too, since it began."""
        fields = self._told("io").split()
        return int(fields[fields.index("syscr:") + 1])

    def _told(self, name):
        """What /proc tells of the daemon."""
        pid = self.pid()
        if pid is None:
            raise Fault(f"no daemon at {self.mountpoint}")
        return pathlib.Path(f"/proc/{pid}/{name}").read_text()


class PeerMount(Daemon):
    """What another file system's command mounts; its last argument is the mount point."""

    def __init__(self, *command):
        super().__init__(command[-1], command, ["umount"] if is_root() else ["fusermount3", "-u"])

    def begin(self):
        self.mountpoint.mkdir(exist_ok=True)
        run(*self.command)
        while not self.is_alive():
            if self.pid() is None:
                raise Fault(f"{self.command[0]} mounted nothing, and has ended")
            time.sleep(0.005)
