"""Rows: walking a mount of many models, against the same names as plain files."""

import functools

from .machine import drop_caches, seconds
from .models import copy_structure
from .row import Row, ratio_of

WALKS = {"find": ("find",), "ls -lR": ("ls", "-lR")}


def rows(fixtures):
    count = max(fixtures.settings.models)

    @functools.cache
    def plain():
        """A copy that has been walked."""
        copy = fixtures.work / "plain"
        with fixtures.fresh(fixtures.many(count)) as mount:
            fixtures.say(f"making the names of {count:,} models as plain files")
            copy_structure(mount.mountpoint, copy)
        seconds("ls", "-lR", copy)
        return copy

    @functools.cache
    def walked():
        """A mount that has been walked, and stays."""
        mountpoint = fixtures.mounted(fixtures.many(count)).mountpoint
        seconds("ls", "-lR", mountpoint)
        return mountpoint

    def first(walk, state):
        with fixtures.fresh(fixtures.many(count)) as mount:
            state()
            return seconds(*walk, mount.mountpoint)

    def again(walk):
        mountpoint = walked()
        seconds(*walk, mountpoint)  # after a walk of its own kind
        return seconds(*walk, mountpoint)

    def on_disk(walk, state):
        path = plain()
        state()
        if state is not drop_caches:
            seconds(*walk, path)
        return seconds(*walk, path)

    for name, walk in WALKS.items():
        def row(when, ours, state, aim=None):
            return Row(
                f"{name} of {count:,} models, {when}", "s", ours, "plain files",
                functools.partial(on_disk, walk, state), aim, cold=state is drop_caches, repeats=3,
            )

        yield row("first walk", functools.partial(first, walk, lambda: None), lambda: None,
                  ratio_of(0.1))
        yield row("first walk, cold", functools.partial(first, walk, drop_caches), drop_caches)
        yield row("second walk", functools.partial(again, walk), lambda: None, ratio_of(0.8))
