"""The command line of scripts/bench."""

import argparse
import fnmatch
import os
import shutil
import sys

from . import copy_rows, mount_rows, package_rows, peer_rows, read_rows, supervise, table, walk_rows
from .fixtures import GIB, MIB, Fixtures
from .machine import describe, is_root, missing, open_fuse_to_everybody
from .row import Result, measure

GROUPS = {
    "Reading": read_rows.rows,
    "Copying to disk": copy_rows.rows,
    "Packaging": package_rows.rows,
    "Peers": peer_rows.rows,
    "Walking": walk_rows.rows,
    "Mounting and memory": mount_rows.rows,
}

DESCRIPTION = """Measures a release build against the disk, the usual tools and other file systems,
and prints one table. Installs what it lacks. As root it measures more: cold caches, passthrough."""


def parse(arguments):
    parser = argparse.ArgumentParser(prog="scripts/bench", description=DESCRIPTION)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--list", action="store_true", help="print the rows' names and aims, and end")
    parser.add_argument("--only", metavar="PATTERN", action="append", default=[],
                        help="only rows that --list prints with this in them; * and ? as in a shell")
    parser.add_argument("--quick", action="store_true",
                        help="small, once, nothing installed: shows that it runs")
    parser.add_argument("--repeats", type=int, metavar="N", help="default: 5; slow rows take fewer")
    parser.add_argument("--size", type=float, metavar="GIB", help="the model's size, default: 2")
    parser.add_argument("--models", type=int, nargs="+", metavar="N",
                        help="sizes of stores, default: 10 1000 10000")
    parser.add_argument("--dir", default="/var/tmp", help="where on a disk; default: /var/tmp")
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


def chosen(rows, patterns):
    def matches(name):
        return any(fnmatch.fnmatch(name.lower(), f"*{pattern.lower()}*") for pattern in patterns)

    return [row for row in rows if not patterns or matches(row.title)]


def groups_of(fixtures, patterns):
    groups = {title: chosen(rows(fixtures), patterns) for title, rows in GROUPS.items()}
    return {title: rows for title, rows in groups.items() if rows}


def measured(row, repeats):
    if row.root and not is_root():
        return Result(row, skipped="needs root, to drop the caches")
    lacking = missing(row.tools)
    if lacking:
        return Result(row, skipped=f"not installed: {', '.join(lacking)}")
    return measure(row, repeats)


def run(options):
    """What runs inside: measures, and prints."""
    os.umask(0o022)
    fixtures = Fixtures(options.inside, options)
    if is_root():
        open_fuse_to_everybody(fixtures.work)
    printer = table.Json() if options.json else table.Text()
    printer.start(describe(fixtures.program), options)
    results = []
    try:
        for title, rows in groups_of(fixtures, options.only).items():
            printer.group(title)
            for row in rows:
                results.append(measured(row, options.repeats))
                printer.row(results[-1])
            fixtures.unmount_all()
    finally:
        fixtures.unmount_all()
    printer.end(results)
    return 1 if any(result.failed for result in results) else 0


def main(arguments):
    options = parse(arguments)
    if options.inside:
        return run(options)
    groups = groups_of(Fixtures(options.dir, options), options.only)
    if not groups:
        sys.exit("bench: no row has such a name; --list names them")
    if options.list:
        for row in (row for rows in groups.values() for row in rows):
            print(row.title + (f": {row.aim}" if row.aim else ""))
        return 0
    supervise.build()
    if not options.quick:
        supervise.install(sorted({tool for rows in groups.values() for row in rows for tool in row.tools}))
    needed = 5 * options.size + 3 * GIB
    if shutil.disk_usage(options.dir).free < needed:
        sys.exit(f"bench: {options.dir} has less than {needed / GIB:.0f} GiB free; see --dir and --size")
    with supervise.place(options.dir) as work:
        return supervise.run_inside(work, arguments)
