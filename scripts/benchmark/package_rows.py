"""Rows: an archive in the mount against the steps that package a model."""

import os
import time

from .machine import run, seconds, shell
from .models import fsync_below, used_below
from .reading import warm
from .row import Row, at_most, ratio_of

TARS = {"GNU tar": "tar", "bsdtar": "bsdtar"}


def rows(fixtures):
    yield from piped_rows(fixtures)
    yield from usual_way_rows(fixtures)


def piped_rows(fixtures):
    """All in GB/s of the model, to a reader that only reads. GNU tar needs a pipe to it, because it
    knows /dev/null and then reads nothing; an archive in the mount does not, so it is read both ways."""
    big = lambda: fixtures.big
    view = lambda: fixtures.mounted(big().store).mountpoint

    def rate_of(command):
        return big().size / seconds(*command) / 1e9

    def archive(script):
        path = big().archive(view())
        warm(big().blob, path)
        return rate_of(shell(script, path))

    def tar_of_files(tar):
        directory = fixtures.files_of(big())
        warm(big().blob)
        return rate_of(shell(f'{tar} cf - -C "$1" . | cat >/dev/null', directory))

    def tar_of_view(tar):
        directory = big().directory(view())
        warm(big().blob, big().in_directory(view()))
        return rate_of(shell(f'{tar} cf - -C "$1" . | cat >/dev/null', directory))

    def row(name, tar, ours, aim=None):
        return Row(
            name, "GB/s", ours, f"{tar} | cat, files on disk", lambda: tar_of_files(tar), aim, tools=(tar,),
        )

    for name, tar in TARS.items():
        yield row("cat of archive to /dev/null", tar, lambda: archive('cat "$1" >/dev/null'),
                  ratio_of(3) if tar == "tar" else None)
        yield row("cat of archive | cat", tar, lambda: archive('cat "$1" | cat >/dev/null'))
        yield row(f"{name} of model directory | cat", tar, lambda tar=tar: tar_of_view(tar))


def usual_way_rows(fixtures):
    """`tar czf`, then `cp` of that; gzip is so slow that a smaller model must do."""
    size = fixtures.settings.small // (1 << 20)
    package = fixtures.work / "usual-way.tar.gz"

    def ours():
        """Seconds, and bytes on the disk beside the copy."""
        path = fixtures.small.archive(fixtures.mounted(fixtures.small.store).mountpoint)
        target = fixtures.empty_target()
        warm(fixtures.small.blob, path)
        return timed(lambda: run("cp", "--reflink=never", path, target), target)

    def usual():
        directory = fixtures.files_of(fixtures.small)
        target = fixtures.empty_target()
        warm(fixtures.small.blob)

        def both():
            run("tar", "czf", package, "-C", directory, ".")
            run("cp", "--reflink=never", package, target)

        try:
            return timed(both, target)
        finally:
            package.unlink(missing_ok=True)

    def timed(step, target):
        before = used_below(fixtures.work)
        start = time.perf_counter()
        step()
        fsync_below(target)
        took = time.perf_counter() - start
        os.sync()  # for the count alone
        return took, (used_below(fixtures.work) - used_below(target) - before) / 1e6

    yield Row(
        f"cp of archive, synced ({size} MiB)", "s", lambda: ours()[0],
        "tar czf, then cp", lambda: usual()[0], ratio_of(20), repeats=3,
    )
    yield Row(
        f"cp of archive, extra disk ({size} MiB)", "MB", lambda: ours()[1],
        "tar czf, then cp", lambda: usual()[1], at_most(0), repeats=1,
    )
