"""Rows: the time to mount, and what the daemon holds."""

import contextlib
import functools
import threading
import time

from . import change_rows
from .machine import drop_caches, run, seconds, shell
from .reading import rate
from .row import Fault, Row, at_most, grows_at_most

LEAST_WORK = 'cd "$1" && find manifests* -type f -exec cat {} + >/dev/null'


def rows(fixtures):
    yield from time_rows(fixtures)
    yield from change_rows.rows(fixtures)
    yield from memory_rows(fixtures)
    yield from growth_rows(fixtures)


def time_rows(fixtures):
    """From the command to the end of the first `ls models/`."""
    def ours(count, state):
        store = fixtures.many(count)
        state()
        start = time.perf_counter()
        with fixtures.fresh(store) as mount:
            run("ls", mount.mountpoint / "models")
            return time.perf_counter() - start

    def manifests(count, state):
        store = fixtures.many(count)
        state()
        return seconds(*shell(LEAST_WORK, store))

    for count in fixtures.settings.models:
        for temperature, state in (("warm", lambda: None), ("cold", drop_caches)):
            aim = at_most(1) if (count, temperature) == (10000, "warm") else None
            yield Row(
                f"mount of {count:,} models to first ls, {temperature}", "s",
                functools.partial(ours, count, state), "find -exec cat of manifests",
                functools.partial(manifests, count, state), aim, cold=state is drop_caches,
            )


def memory_rows(fixtures):
    """Before and after everything was walked."""
    count = max(fixtures.settings.models)

    def held(field, walked):
        with fixtures.fresh(fixtures.many(count)) as mount:
            run("ls", mount.mountpoint / "models")
            if walked:
                run("ls", "-lR", mount.mountpoint)
            return mount.memory()[field]

    for field in ("VmRSS", "RssAnon"):
        yield Row(
            f"daemon's {field} after a walk of {count:,} models", "MB",
            functools.partial(held, field, True), "after mounting",
            functools.partial(held, field, False), at_most(100) if field == "VmRSS" else None,
            repeats=3,
        )


def growth_rows(fixtures):
    """The daemon's memory while a large archive, all holes, is read to its end."""
    size = fixtures.settings.sparse / (1 << 30)

    @functools.cache
    def watched():
        """The speed, and each kind of memory before and at its most."""
        with fixtures.fresh(fixtures.sparse.store) as mount:
            archive = fixtures.sparse.archive(mount.mountpoint)
            rate(archive, 1 << 20, 64 << 20)  # the threads and what they keep are there
            before = mount.memory()
            most = dict(before)
            done = threading.Event()

            def watch():
                with contextlib.suppress(Fault, OSError, KeyError):  # it has ended, so reading fails too
                    while not done.wait(0.05):
                        for field, value in mount.memory().items():
                            most[field] = max(most[field], value)

            watcher = threading.Thread(target=watch)
            watcher.start()
            try:
                speed = rate(archive, 1 << 20)
            finally:
                done.set()
                watcher.join()
            return speed, before, most

    yield Row(
        f"archive of {size:g} GiB of holes, 1 MiB", "GB/s", lambda: watched()[0], "blob on disk",
        lambda: rate(fixtures.sparse.blob, 1 << 20), repeats=1,
    )
    for field in ("RssAnon", "RssFile"):
        yield Row(
            f"daemon's {field} at its most over these", "MB", lambda field=field: watched()[2][field],
            "before", lambda field=field: watched()[1][field],
            grows_at_most(16) if field == "RssAnon" else None, repeats=1,
        )
