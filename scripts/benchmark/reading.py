"""Reading a file to nowhere, from a cache whose state is known."""

import json
import os
import random
import re
import subprocess
import time

from .machine import drop_caches, run

MIB = 1 << 20

SIZES = {"4 KiB": 4096, "128 KiB": 128 << 10, "256 KiB": 256 << 10, "1 MiB": 1 << 20}


def rate(path, size, limit=None):
    """GB/s of dd with requests of this size; `limit`: of so many bytes from the start."""
    count = [f"count={limit // size}"] if limit else []
    said = run(
        "dd", f"if={path}", "of=/dev/null", f"bs={size}", *count, env=os.environ | {"LC_ALL": "C"}
    ).stderr
    count, took = re.search(r"(\d+) bytes.* copied, ([-.0-9e]+) s", said).groups()
    return int(count) / float(took) / 1e9


def cat_rate(path):
    """GB/s of cat into a pipe that nobody looks at."""
    start = time.perf_counter()
    run("sh", "-c", 'cat "$1" | cat > /dev/null', "cat", path)
    return os.stat(path).st_size / (time.perf_counter() - start) / 1e9


def random_rate(path, count, seed=1):
    """Thousands of reads a second of 4 KiB at random places, one after the other."""
    buffer = bytearray(4096)
    fd = os.open(path, os.O_RDONLY)
    try:
        pages = os.fstat(fd).st_size // 4096
        places = [4096 * page for page in random.Random(seed).choices(range(pages), k=count)]
        start = time.perf_counter()
        for place in places:
            os.preadv(fd, [buffer], place)
        return count / (time.perf_counter() - start) / 1e3
    finally:
        os.close(fd)


def fio_rate(path, size, jobs, at_random, amount):
    """GB/s of fio's psync engine: so many jobs, which read this amount together. In sequence each reads
    a part of its own, at random all read everywhere."""
    part = os.stat(path).st_size // jobs // MIB * MIB
    where = ["--rw=randread", "--norandommap"] if at_random else [
        "--rw=read", f"--size={part}", f"--offset_increment={part}"]
    said = run(
        "fio", "--name=read", f"--filename={path}", "--readonly", "--ioengine=psync", *where,
        f"--bs={size}", f"--numjobs={jobs}", f"--io_size={amount // jobs}", "--thread",
        "--invalidate=0", "--allow_file_create=0", "--group_reporting", "--output-format=json",
        stdout=subprocess.PIPE,
    ).stdout
    return json.loads(said[said.index("{"):])["jobs"][0]["read"]["bw_bytes"] / 1e9


def reads_while_reading(mount, path):
    """How often the daemon read anything while a file, already open, was read to its end."""
    buffer = bytearray(1 << 20)
    fd = os.open(path, os.O_RDONLY)
    try:
        before = mount.reads()
        while os.readv(fd, [buffer]) > 0:
            pass
        return mount.reads() - before
    finally:
        os.close(fd)


def forget(path):
    """Drops what the kernel keeps of this very file; in a mount that is not the blob's own cache."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def warm(blob, *mounted):
    """The blob is in the page cache; of what shows it in a mount nothing is."""
    for path in mounted:
        forget(path)
    run("dd", f"if={blob}", "of=/dev/null", "bs=1M")


def cold(*_):
    drop_caches()
