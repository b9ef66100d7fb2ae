"""Rows: one reader and several of an archive, against the blob on the disk, by fio."""

import itertools

from .reading import SIZES, cold, fio_rate, warm
from .row import Row

MANY_SMALL_READS = 8  # where 4 KiB are read, only this part of the file's size
JOBS = {1: "1 job", 4: "4 jobs"}
ORDERS = {False: "sequential", True: "random"}


def rows(fixtures):
    for order, size, jobs in itertools.product(ORDERS, SIZES, JOBS):
        yield row(fixtures, size, jobs, order, warm)
    for size, jobs in itertools.product(("128 KiB", "1 MiB"), JOBS):
        yield row(fixtures, size, jobs, False, cold)
    for jobs in JOBS:
        yield row(fixtures, "4 KiB", jobs, True, cold)


def row(fixtures, size, jobs, at_random, state):
    def archive():
        return fixtures.big.archive(fixtures.mounted(fixtures.big.store).mountpoint)

    def measure(path):
        amount = fixtures.settings.size // (MANY_SMALL_READS if size == "4 KiB" else 1)
        return fio_rate(path, SIZES[size], jobs, at_random, amount)

    def ours():
        path = archive()
        state(fixtures.big.blob, path)
        return measure(path)

    def other():
        archive()  # a mount that is made in between would be one of both sides' doing
        state(fixtures.big.blob)
        return measure(fixtures.big.blob)

    temperature = "cold" if state is cold else "warm"
    return Row(
        f"archive, fio, {size} {ORDERS[at_random]}, {JOBS[jobs]}, {temperature}", "GB/s",
        ours, "blob on disk", other, cold=state is cold, tools=("fio",),
    )
