"""Rows: an archive, and a blob by the daemon, against other file systems that run in a process."""

from .machine import run
from .models import fsync_below
from .reading import SIZES, rate, warm
from .row import Fault, Row, ratio_of

# The command that must be there, for each; archivemount and squashfuse read a package of the model.
PEERS = {
    "bindfs": ("bindfs",),
    "mergerfs": ("mergerfs",),
    "archivemount": ("archivemount",),
    "squashfuse": ("squashfuse_ll", "mksquashfs"),
}

# archivemount goes through the package again for every read: all of it would take many minutes.
PARTS = {"archivemount": 32 << 20}


def rows(fixtures):
    def archive():
        mount = fixtures.mounted(fixtures.big.store)
        return fixtures.big.archive(mount.mountpoint)

    def blob():
        return fixtures.big.in_directory(fixtures.daemon_reads().mountpoint)

    def of_view(path_of, size):
        path = path_of()
        warm(fixtures.big.blob, path)
        return rate(path, size)

    def of_peer(peer, size):
        below, mountpoint = mounted_peer(fixtures, peer)
        shown = next(mountpoint.rglob(fixtures.big.blob.name), None)
        if shown is None:
            raise Fault(f"{peer} does not show the blob")
        warm(below, shown)
        return rate(shown, size, PARTS.get(peer))

    for peer, tools in PEERS.items():
        for size in ("128 KiB", "1 MiB"):
            yield Row(
                f"archive, {size}, warm", "GB/s",
                lambda size=size: of_view(archive, SIZES[size]), name(peer),
                lambda peer=peer, size=size: of_peer(peer, SIZES[size]),
                ratio_of(3) if peer == "bindfs" else None, tools=tools,
                repeats=2 if peer == "archivemount" else None,
            )
    for size in ("128 KiB", "1 MiB"):
        yield Row(
            f"blob by the daemon, {size}, warm", "GB/s",
            lambda size=size: of_view(blob, SIZES[size]), "bindfs",
            lambda size=size: of_peer("bindfs", SIZES[size]), tools=PEERS["bindfs"],
        )


def name(peer):
    return f"{peer}, its first {PARTS[peer] >> 20} MiB" if peer in PARTS else peer


def mounted_peer(fixtures, peer):
    """The file that it reads, and where it shows what."""
    files, work = fixtures.files_of(fixtures.big), fixtures.work
    if peer in ("bindfs", "mergerfs"):
        return fixtures.big.blob, fixtures.peer(peer, peer, files)
    if peer == "archivemount":
        package = packed(work / "peer.tar", lambda part: ("tar", "cf", part, "-C", files, "."))
        return package, fixtures.peer(peer, "archivemount", "-o", "readonly", package)
    not_compressed = ("-noI", "-noD", "-noF", "-noX", "-no-progress")  # to its favour
    package = packed(work / "peer.squashfs", lambda part: ("mksquashfs", files, part, *not_compressed))
    return package, fixtures.peer(peer, "squashfuse_ll", package)


def packed(package, command):
    """A package that is whole or not there; on the disk, or its writing would slow its reading."""
    if not package.exists():
        part = package.with_suffix(".part")
        part.unlink(missing_ok=True)  # mksquashfs would add to it
        run(*command(part))
        fsync_below(part)
        part.rename(package)
    return package
