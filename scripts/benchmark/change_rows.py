"""Rows: the time from a change of the store until it is seen in the view."""

import functools
import shutil
import statistics
import time

from .machine import run
from .row import Fault, Row, at_most

CHANGED = "manifests/registry.ollama.ai/library/changed/latest"


def rows(fixtures):
    """From a new manifest in the store to its model in the view, and from its end to the model's."""
    @functools.cache
    def delays(count):
        store = fixtures.many(count)
        try:
            with fixtures.fresh(store) as mount:
                come, gone = come_and_go(store, mount)
        finally:
            forget_changes(store)
        return statistics.median(come), statistics.median(gone)

    for count in fixtures.settings.models:
        yield Row(
            f"new model among {count:,} to its sight, median of 5", "s", lambda count=count: delays(count)[0],
            "removed one to its end", lambda count=count: delays(count)[1], at_most(1), repeats=1,
        )


def come_and_go(store, mount):
    """Of one model, a few times: how long it takes each until its coming and its going are seen."""
    manifest = store / CHANGED
    some = next(path for path in (store / "manifests").rglob("*") if path.is_file())
    model = mount.mountpoint / "models" / "changed+latest"
    run("ls", mount.mountpoint / "models")
    come, gone = [], []
    for _ in range(5):
        manifest.parent.mkdir(exist_ok=True)
        come.append(seconds_until(lambda: manifest.write_bytes(some.read_bytes()), model.exists))
        gone.append(seconds_until(manifest.unlink, lambda: not model.exists()))
    return come, gone


def forget_changes(store):
    """Whatever has failed, later rows have the store as it was."""
    directory = (store / CHANGED).parent
    if directory.exists():
        shutil.rmtree(directory)


def seconds_until(change, is_seen):
    """How long it takes from a change until it is seen; the store then rests."""
    start = time.perf_counter()
    change()
    while not is_seen():
        if time.perf_counter() - start > 60:
            raise Fault("a change of the store is not seen within a minute")
        time.sleep(0.002)
    taken = time.perf_counter() - start
    time.sleep(1)
    return taken
