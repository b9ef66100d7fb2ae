"""Rows: reading a blob and an archive through the mount, against the blob on the disk."""

from .reading import SIZES, cat_rate, cold, random_rate, rate, reads_while_reading, warm
from .row import Fault, Row, at_most, ratio_of

MANY_SMALL_READS = 8  # of a file that is read at 4 KiB, only this part

AIMS = {
    ("archive", "128 KiB", "warm"): ratio_of(0.25),
    ("archive", "1 MiB", "warm"): ratio_of(0.45),
    ("archive", "1 MiB", "cold"): ratio_of(0.95),
    ("blob by the kernel", "1 MiB", "warm"): ratio_of(0.95),
    ("blob by the kernel", "1 MiB", "cold"): ratio_of(0.95),
    ("blob by the daemon", "128 KiB", "warm"): ratio_of(0.2),
}


def rows(fixtures):
    ways = {
        "blob by the kernel": lambda: fixtures.big.in_directory(fixtures.passthrough().mountpoint),
        "blob by the daemon": lambda: fixtures.big.in_directory(fixtures.daemon_reads().mountpoint),
        "archive": lambda: fixtures.big.archive(fixtures.mounted(fixtures.big.store).mountpoint),
    }
    needs = {"blob by the kernel": fixtures.passthrough}

    def row(way, what, unit, state, measure, **more):
        """`measure` is given a path, after `state` was made of what both sides read."""
        def ours():
            path = ways[way]()
            state(fixtures.big.blob, path)
            return measure(path)

        def other():
            ways[way]()  # a mount that is made in between would be one of both sides' doing
            state(fixtures.big.blob)
            return measure(fixtures.big.blob)

        temperature = "cold" if state is cold else "warm"
        return Row(
            f"{way}, {what}, {temperature}", unit, ours, "blob on disk", other,
            AIMS.get((way, what, temperature)), cold=state is cold, needs=needs.get(way), **more,
        )

    def sequential(size, at_once):
        limit = fixtures.settings.size // MANY_SMALL_READS if size == "4 KiB" else None
        return lambda path: rate(path, at_once, limit)

    for way in ways:
        for size, at_once in SIZES.items():
            yield row(way, size, "GB/s", warm, sequential(size, at_once))
        if way == "blob by the daemon":
            yield read_again(fixtures, ways[way])
        for size in ("128 KiB", "1 MiB"):
            yield row(way, size, "GB/s", cold, sequential(size, SIZES[size]))
        yield row(way, "4 KiB at random", "k reads/s", warm,
                  lambda path: random_rate(path, fixtures.settings.random_reads))
        yield row(way, "4 KiB at random", "k reads/s", cold,
                  lambda path: random_rate(path, fixtures.settings.random_reads // 20))
    yield daemons_reads(fixtures, ways)
    yield from verified_rows(fixtures)


def read_again(fixtures, path):
    """What is read a second time may come from the mount's own cache."""
    def ours():
        warm(fixtures.big.blob)
        rate(path(), 1 << 20)
        return rate(path(), 128 << 10)

    def other():
        warm(fixtures.big.blob)
        return rate(fixtures.big.blob, 128 << 10)

    return Row("blob by the daemon, 128 KiB, read again", "GB/s", ours, "blob on disk", other)


def daemons_reads(fixtures, ways):
    """Under passthrough the daemon does not read; its reads of an archive show that they count."""
    def count(way):
        path = ways[way]()
        warm(fixtures.big.blob, path)
        return reads_while_reading(fixtures.mounted(fixtures.big.store), path)

    def control():
        reads = count("archive")
        if reads == 0:
            raise Fault("no reads were counted where there must be some")
        return reads

    return Row(
        "blob by the kernel: the daemon's reads", "", lambda: count("blob by the kernel"),
        "those of the archive", control, at_most(0), needs=fixtures.passthrough, repeats=3,
    )


def verified_rows(fixtures):
    """What `-o verify` costs: a mount of its own for each time, because it remembers its verdicts."""
    model = lambda: fixtures.true

    def with_verify(measure, again):
        def ours():
            with fixtures.fresh(model().store, options=["verify"]) as mount:
                path = model().archive(mount.mountpoint)
                warm(model().blob)
                if again:
                    rate(path, 1 << 20)
                return measure(path)
        return ours

    def without(measure):
        def other():
            path = model().archive(fixtures.mounted(model().store).mountpoint)
            warm(model().blob)
            return measure(path)
        return other

    for name, measure in {"1 MiB": lambda path: rate(path, 1 << 20), "cat": cat_rate}.items():
        for again in (False, True):
            yield Row(
                f"archive with -o verify, {name}, warm" + ", read again" * again, "GB/s",
                with_verify(measure, again), "without", without(measure),
            )
