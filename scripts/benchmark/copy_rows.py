"""Rows: copying an archive and a model directory to the disk, synced, against `cp` of the blob."""

import time

from .machine import run
from .models import fsync_below
from .reading import cold, warm
from .row import Row, ratio_of

CP = ("cp", "-r", "--reflink=never")
RSYNC = ("rsync", "-rtO", "--delay-updates")


def rows(fixtures):
    sources = {
        "archive": lambda: fixtures.big.archive(fixtures.mounted(fixtures.big.store).mountpoint),
        "directory": lambda: fixtures.big.directory(fixtures.mounted(fixtures.big.store).mountpoint),
        "blob": lambda: fixtures.big.blob,
    }

    def copied(tool, source, state):
        """GB/s from a mount to the disk, with all of it written there."""
        def measure():
            path = sources[source]()
            target = fixtures.empty_target()
            files = [found for found in (path, *path.rglob("*")) if found.is_file()]
            state(fixtures.big.blob, *files)
            start = time.perf_counter()
            run(*tool, path, target)
            fsync_below(target)
            return fixtures.big.size / (time.perf_counter() - start) / 1e9

        return measure

    for temperature, state in (("cold", cold), ("warm", warm)):
        for tool, name in ((CP, "cp"), (RSYNC, "rsync")):
            for source in ("archive", "directory"):
                aim = ratio_of(0.95) if (name, source, state) == ("cp", "archive", cold) else None
                yield Row(
                    f"{name} of {source}, synced, {temperature}", "GB/s",
                    copied(tool, source, state), "cp of the blob", copied(CP, "blob", state), aim,
                    cold=state is cold, tools=(name,), repeats=3,
                )
    for source in ("archive", "directory"):
        yield Row(
            f"rsync of {source}, synced, warm", "GB/s", copied(RSYNC, source, warm),
            "rsync of the blob", copied(RSYNC, "blob", warm), tools=("rsync",), repeats=3,
        )
