"""The command line of scripts/bench."""

import fnmatch
import os
import shutil
import sys

from . import copy_rows, export_rows, fio_rows, import_rows, mount_rows, package_rows, peer_rows, read_rows
from . import supervise, table, upkeep_rows, walk_rows
from .fixtures import GIB, Fixtures
from .machine import describe, is_root, missing, open_fuse_to_everybody, why_never_cold
from .options import parse
from .row import Result, measure
from .whole import print_whole, write_whole

GROUPS = {
    "Reading": read_rows.rows,
    "Reading by fio": fio_rows.rows,
    "Copying to disk": copy_rows.rows,
    "Packaging": package_rows.rows,
    "Exporting": export_rows.rows,
    "Importing": import_rows.rows,
    "Peers": peer_rows.rows,
    "Walking": walk_rows.rows,
    "Mounting and memory": mount_rows.rows,
    "Looking after a store": upkeep_rows.rows,
}

RESULT = "result.json"  # in the work directory, for who supervises


def chosen(rows, patterns):
    def matches(name):
        return any(fnmatch.fnmatch(name.lower(), f"*{pattern.lower()}*") for pattern in patterns)

    return [row for row in rows if not patterns or matches(row.title)]


def groups_of(fixtures, patterns):
    groups = {title: chosen(rows(fixtures), patterns) for title, rows in GROUPS.items()}
    return {title: rows for title, rows in groups.items() if rows}


def measured(row, repeats, never_cold):
    if row.cold and never_cold:
        return Result(row, skipped=never_cold)
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
    printer = table.Json(fixtures.work / RESULT) if options.json else table.Text()
    printer.start(describe(fixtures.program), options)
    never_cold = why_never_cold(fixtures.work)
    results = []
    try:
        for title, rows in groups_of(fixtures, options.only).items():
            printer.group(title)
            for row in rows:
                results.append(measured(row, options.repeats, never_cold))
                printer.row(results[-1])
            fixtures.unmount_all()
    finally:
        fixtures.unmount_all()
    printer.end(results)
    return 1 if fixtures.troubled or any(result.failed for result in results) else 0


def supervised(options, arguments):
    """What runs around: a place that is removed again, and JSON only when all of it is there."""
    inner = supervise.InnerRun()
    with supervise.place(options.dir) as work:
        status = inner.wait_in(work, arguments)
        result = work / RESULT
        if result.exists() and options.json == "-":
            print_whole(result.read_text())
        elif result.exists():
            write_whole(options.json, result.read_text())
        return status


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
    needed = 6 * options.size + 3 * GIB
    if shutil.disk_usage(options.dir).free < needed:
        sys.exit(f"bench: {options.dir} has less than {needed / GIB:.0f} GiB free; see --dir and --size")
    supervise.build()
    if not options.quick:
        supervise.install(sorted({tool for rows in groups.values() for row in rows for tool in row.tools}))
    return supervised(options, arguments)
