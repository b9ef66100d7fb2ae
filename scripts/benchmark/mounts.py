"""Mounts of ollamafs and of its peers, and what their daemons hold."""

import contextlib
import os
import pathlib
import time

from .machine import is_root, run

KERNEL_READS = "the kernel reads the blobs itself"
NOBODY = "65534"


class Mount:
    """A mount in the background, as a user makes it; `ordinary`: by a user who is not root."""

    def __init__(self, program, store, mountpoint, ordinary=False, options=()):
        self.program = program
        self.mountpoint = pathlib.Path(mountpoint)
        self.prefix, self.options = [], [word for option in options for word in ("-o", option)]
        self.ordinary = ordinary and is_root()
        if self.ordinary:
            self.prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
            self.options += ["-o", "allow_other"]  # root is another
        self.command = [program, "mount", *self.options, "--store", store, self.mountpoint]
        self.said = ""  # who reads the blobs

    def __enter__(self):
        if self.ordinary:
            self.mountpoint.mkdir(exist_ok=True)
            os.chown(self.mountpoint, int(NOBODY), int(NOBODY))
        lines = run(*self.prefix, *self.command).stderr.splitlines()
        self.said = next(line.split(": ", 1)[1] for line in lines if "blobs" in line)
        return self

    def __exit__(self, *_):
        pid = self.pid()
        run(self.program, "umount", self.mountpoint)
        while pathlib.Path(f"/proc/{pid}").exists():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # it is our child if we are the first process
            time.sleep(0.005)

    @property
    def passthrough(self):
        return self.said.startswith(KERNEL_READS)

    def memory(self):
        """What the daemon holds, in MB, by the names of /proc/PID/status."""
        status = pathlib.Path(f"/proc/{self.pid()}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return {
            name: int(fields[name].split()[0]) / 1000 for name in ("VmRSS", "RssAnon", "RssFile")
        }

    def reads(self):
        """How often the daemon read anything, a request of the kernel's too, since it began."""
        fields = pathlib.Path(f"/proc/{self.pid()}/io").read_text().split()
        return int(fields[fields.index("syscr:") + 1])

    def pid(self):
        wanted = b"".join(os.fsencode(word) + b"\0" for word in self.command)
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cmdline").read_bytes() == wanted:
                    return int(process.name)
            except OSError:
                pass  # it has ended
        raise ProcessLookupError(f"no daemon at {self.mountpoint}")


class PeerMount:
    """What another file system's command mounts; its last argument is the mount point."""

    def __init__(self, *command):
        self.command = command
        self.mountpoint = pathlib.Path(command[-1])

    def __enter__(self):
        self.mountpoint.mkdir(exist_ok=True)
        run(*self.command)
        while not os.path.ismount(self.mountpoint):
            time.sleep(0.005)
        return self

    def __exit__(self, *_):
        if is_root():
            run("umount", self.mountpoint)
        else:
            run("fusermount3", "-u", self.mountpoint)
