"""Rows: an archive, and a blob by the daemon, against other file systems that run in a process."""

from .machine import run
from .reading import SIZES, rate, warm
from .row import Row, ratio_of

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
        shown = next(mountpoint.rglob(fixtures.big.blob.name))
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
    model, work = fixtures.big, fixtures.work
    if peer in ("bindfs", "mergerfs"):
        return model.blob, fixtures.peer(peer, peer, fixtures.files_of(model))
    if peer == "archivemount":
        package = work / "peer.tar"
        if not package.exists():
            run("tar", "cf", package, "-C", fixtures.files_of(model), ".")
        return package, fixtures.peer(peer, "archivemount", "-o", "readonly", package)
    package = work / "peer.squashfs"
    if not package.exists():  # not compressed, to its favour
        run("mksquashfs", fixtures.files_of(model), package, "-noI", "-noD", "-noF", "-noX",
            "-no-progress")
    return package, fixtures.peer(peer, "squashfuse_ll", package)
