"""What scripts/bench is asked for."""

import argparse
import os
import pathlib

from .fixtures import GIB, MIB

DESCRIPTION = """Measures a release build against the disk, the usual tools and other file systems,
and prints one table. Builds it, and installs what it lacks. As root it measures more: passthrough, and,
on a disk, cold caches. What cannot be measured here is skipped and says why. However it ends, by Ctrl-C
too, it leaves no mount, process or file behind."""


def at_least_one(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def above_zero(text):
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def directory(text):
    if not os.path.isdir(text) or not os.access(text, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(f"{text} is no directory that can be written to")
    return text


def new_file(text):
    """Looked at before a long run; `-` is not a file but standard output."""
    if text == "-":
        return text
    path = pathlib.Path(text).resolve()
    if path.exists() and not path.is_file():
        raise argparse.ArgumentTypeError(f"{text} is there and is no file")
    directory(path.parent)
    return path


def parse(arguments):
    parser = argparse.ArgumentParser(prog="scripts/bench", description=DESCRIPTION)
    parser.add_argument("--json", type=new_file, nargs="?", const="-", metavar="FILE",
                        help="one JSON object instead of a table, at the end, whole or not at all")
    parser.add_argument("--list", action="store_true", help="print the rows' names and aims, and end")
    parser.add_argument("--only", metavar="PATTERN", action="append", default=[],
                        help="only rows that --list prints with this in them; * and ? as in a shell")
    parser.add_argument("--quick", action="store_true",
                        help="small, once, nothing installed: shows that it runs")
    parser.add_argument("--repeats", type=at_least_one, metavar="N", help="default: 5; slow rows take fewer")
    parser.add_argument("--size", type=above_zero, metavar="GIB", help="the model's size, default: 2")
    parser.add_argument("--models", type=at_least_one, nargs="+", metavar="N",
                        help="sizes of stores, default: 10 1000 10000")
    parser.add_argument("--dir", default="/var/tmp", type=directory,
                        help="where on a disk; default: /var/tmp; in memory, as on a tmpfs, nothing is cold")
    parser.add_argument("--inside", metavar="DIR", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    quick = options.quick
    options.repeats = options.repeats or (1 if quick else 5)
    options.size = int(options.size * GIB) if options.size else (64 * MIB if quick else 2 * GIB)
    options.models = options.models or ([10, 200] if quick else [10, 1000, 10000])
    options.small = min(options.size, 16 * MIB if quick else 256 * MIB)
    options.sparse = GIB if quick else 40 * GIB
    options.random_reads = 2000 if quick else 20000
    return options
