"""Models on the disk: what is measured, and the same as plain files."""

import hashlib
import json
import os
import pathlib

from .machine import run

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
WEIGHTS = "application/vnd.ollama.image.model"
MIB = 1 << 20


class Model:
    """A store that holds one model of so many bytes; its name there is `bench:NAME`."""

    def __init__(self, store, name, size, sparse=False, true=False):
        self.store, self.name, self.size = pathlib.Path(store), name, size
        self.shown = f"bench+{name}"
        config = json.dumps({"model_format": "gguf", "model_family": "llama"}).encode()
        layer = self._blob(WEIGHTS, f"weights of {name}".encode(), size)
        self.blob = self._path(layer)
        if sparse:
            self.blob.touch()
            os.truncate(self.blob, size)
        else:
            _write_noise(self.blob, size)
        config_layer = self._blob(CONFIG, config, len(config))
        self._path(config_layer).write_bytes(config)
        if true:
            layer = self._rename(layer)
            self.blob = self._path(layer)
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config_layer, "layers": [layer]}
        self.manifest = self.store / "manifests/registry.ollama.ai/library/bench" / name
        self.manifest.parent.mkdir(parents=True)
        self.manifest.write_text(json.dumps(manifest))

    def _blob(self, media_type, text, size):
        (self.store / "blobs").mkdir(parents=True, exist_ok=True)
        digest = "sha256:" + hashlib.sha256(text).hexdigest()  # blobs are believed by their size
        return {"mediaType": media_type, "digest": digest, "size": size}

    def _rename(self, layer):
        """Gives the blob the name that its bytes ask for."""
        named = layer | {"digest": "sha256:" + _digest_of(self._path(layer))}
        self._path(layer).rename(self._path(named))
        return named

    def _path(self, layer):
        return self.store / "blobs" / layer["digest"].replace(":", "-")

    def in_directory(self, mountpoint):
        return pathlib.Path(mountpoint) / "models" / self.shown / "blobs" / self.blob.name

    def directory(self, mountpoint):
        return pathlib.Path(mountpoint) / "models" / self.shown

    def archive(self, mountpoint):
        return pathlib.Path(mountpoint) / "archives" / f"{self.shown}.tar"

    def link_to(self, directory):
        """The files of the model directory, on the disk."""
        for path in (*(self.store / "blobs").iterdir(), self.manifest):
            link = directory / path.relative_to(self.store)
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, link)


class Split:
    """A store that holds one model of so many bytes in so many blobs; each has its right name."""

    def __init__(self, store, size, count):
        self.store, self.size = pathlib.Path(store), size // count * count
        folder = self.store / "blobs"
        folder.mkdir(parents=True)
        layers = []
        for number in range(count):
            _write_noise(folder / str(number), size // count)
            digest = _digest_of(folder / str(number))
            (folder / str(number)).rename(folder / f"sha256-{digest}")
            layers.append({"mediaType": WEIGHTS, "digest": f"sha256:{digest}", "size": size // count})
        self.blobs = [folder / layer["digest"].replace(":", "-") for layer in layers]
        manifest = self.store / "manifests/registry.ollama.ai/library/bench/split"
        manifest.parent.mkdir(parents=True)
        manifest.write_text(json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": layers}))


def _digest_of(path):
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(MIB):
            digest.update(piece)
    return digest.hexdigest()


def _write_noise(path, size):
    """Like weights: what gzip cannot make smaller. On the disk when it returns."""
    with path.open("wb", buffering=0) as file:
        for at in range(0, size, MIB):
            file.write(os.urandom(min(MIB, size - at)))
        os.fsync(file.fileno())


def make_many(make_store, store, count):
    """A store of so many small models, on the disk."""
    run(make_store, store, "--models", str(count))
    fsync_below(store)


def copy_structure(source, target):
    """The same names as plain files of the same sizes, without any data."""
    for directory, _, names in os.walk(source):
        copy = pathlib.Path(target) / os.path.relpath(directory, source)
        copy.mkdir(parents=True, exist_ok=True)
        for name in names:
            size = os.stat(os.path.join(directory, name)).st_size
            with (copy / name).open("wb") as file:
                file.truncate(size)
    run("sync", "-f", target)


def fsync_below(path):
    """What a file or a directory holds is on the disk when it returns."""
    for found in (path, *pathlib.Path(path).rglob("*")):
        fd = os.open(found, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


def used_below(path):
    """Bytes that files take on the disk."""
    return sum(found.lstat().st_blocks * 512 for found in pathlib.Path(path).rglob("*"))
