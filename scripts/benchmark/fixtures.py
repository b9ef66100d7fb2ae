"""What rows share: models, their mounts and plain copies, each made when it is first asked for."""

import functools
import pathlib
import shutil
import sys

from . import models
from .mounts import Mount, PeerMount
from .row import Skip

MIB = 1 << 20
GIB = 1 << 30


class Fixtures:
    """`work` is a directory on a disk, with ollamafs and make-store in it."""

    def __init__(self, work, settings):
        self.work = pathlib.Path(work)
        self.settings = settings
        self.program = self.work / "ollamafs"
        self.make_store = self.work / "make-store"
        self._mounted = {}  # what stays until `unmount_all`
        self.troubled = False  # one of these did not end well

    def say(self, text):
        print(f"bench: {text}", file=sys.stderr, flush=True)

    def afresh(self, name):
        """A path in `work` where nothing is, not even what an attempt left that failed."""
        path = self.work / name
        if path.exists():
            shutil.rmtree(path)
        return path

    @functools.cached_property
    def big(self):
        size = self.settings.size
        self.say(f"making a model of {size / MIB:.0f} MiB")
        return models.Model(self.afresh("big"), "big", size)

    @functools.cached_property
    def true(self):
        """A model whose blobs have the digests that their names say."""
        self.say(f"making a model of {self.settings.size / MIB:.0f} MiB that can be verified")
        return models.Model(self.afresh("true"), "true", self.settings.size, true=True)

    @functools.cached_property
    def split(self):
        """A model of four equal blobs that have the digests that their names say."""
        self.say(f"making a model of {self.settings.size / MIB:.0f} MiB in four blobs")
        return models.Split(self.afresh("split"), self.settings.size, 4)

    @functools.cached_property
    def small(self):
        return models.Model(self.afresh("small"), "small", self.settings.small)

    @functools.cached_property
    def small_true(self):
        return models.Model(self.afresh("small-true"), "small-true", self.settings.small, true=True)

    @functools.cached_property
    def sparse(self):
        return models.Model(self.afresh("sparse"), "sparse", self.settings.sparse, sparse=True)

    @functools.lru_cache(maxsize=None)
    def many(self, count):
        self.say(f"making a store of {count:,} models")
        store = self.afresh(f"many-{count}")
        models.make_many(self.make_store, store, count)
        return store

    @functools.lru_cache(maxsize=None)
    def files_of(self, model):
        """The files of the model's directory on the disk."""
        directory = self.afresh(f"{model.shown}-files")
        model.link_to(directory)
        return directory

    def mounted(self, store, ordinary=False):
        """A mount of the store that stays until `unmount_all`."""
        place = self.work / f"view-{store.name}{'-ordinary' * ordinary}"
        return self._staying(place, lambda: self.fresh(store, place, ordinary))

    def fresh(self, store, place=None, ordinary=False, options=()):
        """A mount for `with`."""
        return Mount(self.program, store, place or self.work / "view", ordinary, options)

    def passthrough(self):
        """A mount of the big model where the kernel reads the blobs."""
        mount = self.mounted(self.big.store)
        if not mount.passthrough:
            raise Skip(mount.said)
        return mount

    def daemon_reads(self):
        """One where the daemon reads them."""
        mount = self.mounted(self.big.store)
        return self.mounted(self.big.store, ordinary=True) if mount.passthrough else mount

    def peer(self, name, *command):
        """What another file system mounts, until `unmount_all`; it is given the mount point."""
        place = self.work / f"peer-{name}"
        return self._staying(place, lambda: PeerMount(*command, place)).mountpoint

    def _staying(self, place, mount):
        """What is mounted there; a new one where its daemon has ended, or rows would fail for others."""
        if place in self._mounted and not self._mounted[place].is_alive():
            self._unmount(place)
        if place not in self._mounted:
            self._mounted[place] = mount().__enter__()
        return self._mounted[place]

    def _unmount(self, place):
        trouble = self._mounted.pop(place).end()
        if trouble:
            self.troubled = True
            self.say(trouble)

    def unmount_all(self):
        """Says what goes wrong, but does not raise: what is measured is measured."""
        for place in reversed(list(self._mounted)):
            self._unmount(place)

    def empty_target(self):
        """A directory on the disk to copy to."""
        target = self.work / "target"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        return target
