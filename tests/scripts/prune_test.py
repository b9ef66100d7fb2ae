#!/usr/bin/env python3
"""Runs `ollamafs prune --yes` on 1,000 random stores and compares what is left with what this file
calls referenced: prune_test.py BUILD [COUNT [SEED]]

The rules are written down here a second time, from docs/store-format.md, and share nothing with the
program. A store is in both trees at once, with lists, inline manifests, children that are not there,
anchors, shadow tags, digests in every spelling, downloads, folders and other people's files."""
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

IMAGE = "application/vnd.ollama.image."
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LIST = "application/vnd.ollama.manifest.list.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
HOUR = 3600


class Store:
    """A random store, and what has to stay in it."""

    def __init__(self, root, rng):
        self.root, self.rng = root, rng
        self.blobs = root / "blobs"
        self.blobs.mkdir(parents=True)
        self.referenced = set()  # hex
        self.pool = [self.blob(rng.randbytes(rng.randrange(200))) for _ in range(rng.randrange(1, 12))]

    # ---- writing ----

    def blob(self, content):
        digest = hashlib.sha256(content).hexdigest()
        self.write(self.blobs / f"sha256-{digest}", content)
        return digest

    def write(self, path, content):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.age(path, self.rng.choice([2 * HOUR, 30 * 24 * HOUR]))

    @staticmethod
    def age(path, seconds):
        then = time.time() - seconds
        os.utime(path, (then, then), follow_symlinks=False)

    # ---- manifests ----

    def spelled(self, digest):
        text = digest.upper() if self.rng.random() < 0.1 else digest
        return f"sha256{self.rng.choice(':::-')}{text}"

    def layer(self, digest, kind):
        return {"mediaType": kind, "digest": self.spelled(digest), "size": self.rng.randrange(300)}

    def manifest(self, more=()):
        """A manifest as a value, and the digests that it names."""
        named = self.rng.sample(self.pool, self.rng.randrange(0, len(self.pool) + 1))
        layers = [self.layer(d, IMAGE + self.rng.choice(["model", "license", "tensor"])) for d in named]
        value = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": layers + list(more)}
        if named and self.rng.random() < 0.8:
            value["config"] = self.layer(named[0], CONFIG)
        elif not layers:
            value["layers"] = None
        return value, set(named)

    def listing(self):
        """A list as a value, the digests that stay because of it, and those of its children."""
        entries, named, children = [], set(), []
        for _ in range(self.rng.randrange(1, 4)):
            child, of_child = self.manifest()
            kind = self.rng.random()
            if kind < 0.2:  # inline
                child.setdefault("config", {})
                entries.append(child)
                named |= of_child
            elif kind < 0.4:  # never pulled
                digest = hashlib.sha256(self.rng.randbytes(8)).hexdigest()
                entries.append({"mediaType": MANIFEST, "digest": self.spelled(digest), "runner": "mlx"})
            else:
                digest = self.blob(json.dumps(child).encode())
                entries.append({"mediaType": MANIFEST, "digest": self.spelled(digest), "runner": "ggml"})
                named |= of_child | {digest}
                children.append(digest)
        return {"schemaVersion": 2, "mediaType": LIST, "manifests": entries}, named, children

    # ---- tags ----

    def tag(self, number):
        rng = self.rng
        public = rng.random() < 0.7
        tail = f"{rng.choice(['library', 'me'])}/m{number}/{rng.choice(['latest', 'q4', 'v1.0'])}"
        v1 = self.root / "manifests" / ("registry.ollama.ai" if public else "host:5000") / tail
        v2 = self.root / "manifests-v2" / ("ollama.com" if public else "host%3A5000") / tail
        kind = rng.random()
        if kind < 0.4:
            value, named = self.manifest()
            self.write(v1, json.dumps(value).encode())
        elif kind < 0.6:
            value, named = self.manifest()
            named.add(self.link(v2, value))
            if rng.random() < 0.5:  # pulled: the older tree has it too, maybe of another version
                other, of_other = self.manifest()
                self.write(v1, json.dumps(other).encode())
                named |= of_other
        else:
            value, named, children = self.listing()
            digest = self.link(v2, value)
            named.add(digest)
            if rng.random() < 0.7:
                more = [self.layer(d, LIST if d == digest else MANIFEST) for d in [digest, *children]]
                anchor, of_anchor = self.manifest(more)
                self.write(v1, json.dumps(anchor).encode())
                named |= of_anchor
            if children and rng.random() < 0.5:
                shadow = self.root / "manifests/registry.ollama.ai/library/llamacpp" / children[0]
                self.write(shadow, (self.blobs / f"sha256-{children[0]}").read_bytes())
        self.referenced |= named
        return v1 if v1.exists() else None

    def link(self, path, value):
        content = json.dumps(value).encode()
        digest = self.blob(content)
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.rng.random() < 0.2:
            path.write_bytes(content)
        else:
            path.symlink_to(f"../../../../blobs/sha256-{digest}")
        return digest

    # ---- what is in blobs/ beside that ----

    def litter(self):
        """Returns the names that must go if nothing forbids it, those that must stay, and whether
        a young blob is among them: it may be the last of a pull whose manifest comes next."""
        rng, gone, stays = self.rng, set(), set()
        may_be_young, has_young = rng.random() < 0.3, False
        for _ in range(rng.randrange(4)):
            digest = self.blob(rng.randbytes(20))
            path = self.blobs / f"sha256-{digest}"
            if may_be_young and rng.random() < 0.5:
                self.age(path, rng.choice([-1000, 0, HOUR - 60]))
                stays.add(path.name)
                has_young = True
            else:
                gone.add(path.name)
        for suffix in ("-partial", "-partial-0", "-partial-15", ".tmp"):
            if rng.random() < 0.3:
                path = self.blobs / f"sha256-{rng.randbytes(32).hex()}{suffix}"
                self.write(path, b"part")
                gone.add(path.name)
        if rng.random() < 0.2:
            link = self.blobs / f"sha256-{rng.randbytes(32).hex()}"
            link.symlink_to("/nowhere")
            self.age(link, 2 * HOUR)
            gone.add(link.name)
        for name in ("README", ".hidden", f"sha256-{rng.randbytes(31).hex()}", "sha256-partial"):
            if rng.random() < 0.2:
                self.write(self.blobs / name, b"mine")
                stays.add(name)
        if rng.random() < 0.3:
            folder = self.blobs / rng.choice(["folder", f"sha256-{rng.randbytes(32).hex()}"])
            self.write(folder / "file", b"mine")
            stays.add(folder.name)
        return gone, stays, has_young


def spoil(store, v1_files, rng):
    """Makes the store one of which nothing may be deleted. Returns the path that has to be named."""
    kind = rng.randrange(4)
    if kind == 0:
        path = store.root / "manifests/registry.ollama.ai/library/bad/empty"
        store.write(path, b"")
    elif kind == 1 and v1_files:
        path = rng.choice(v1_files)
        path.write_bytes(path.read_bytes()[:-2])
    elif kind == 2:
        path = store.root / "manifests/registry.ollama.ai/library/bad/.latest.Xy12"
        store.write(path, b"{}")
    else:
        path = store.root / "manifests-v2/ollama.com/library/bad/lost"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(f"../../../../blobs/sha256-{rng.randbytes(32).hex()}")
    return path


def one_store(program, root, rng, is_thorough):
    """Returns what is wrong, or None."""
    store = Store(root, rng)
    v1_files = [path for number in range(rng.randrange(6)) if (path := store.tag(number))]
    gone, stays, has_young = store.litter()
    gone |= {f"sha256-{d}" for d in store.pool} - {f"sha256-{d}" for d in store.referenced}
    gone |= {
        path.name
        for path in store.blobs.iterdir()
        if len(path.name) == 71 and path.is_file() and path.name[7:] not in store.referenced
    } - stays
    gone -= {f"sha256-{d}" for d in store.referenced}
    spoiled = spoil(store, v1_files, rng) if rng.random() < 0.15 else None
    kind = rng.random()
    downloading = has_young or kind < 0.2
    held = None
    if kind < 0.2:
        path = store.blobs / f"sha256-{rng.randbytes(32).hex()}-partial"
        path.write_bytes(b"part")
        if kind < 0.1:  # an old one, but somebody has it open
            store.age(path, 30 * 24 * HOUR)
            held = path.open("r+b")
    before = {path.name for path in store.blobs.iterdir()}

    run = [program, "prune", "--store", str(root)]
    for command in (run, run + ["--json"]) if is_thorough else ():
        subprocess.run(command, capture_output=True, check=False)
    if {path.name for path in store.blobs.iterdir()} != before:
        return "it deletes without --yes"
    result = subprocess.run(run + ["--yes"], capture_output=True, text=True, check=False)
    if held:
        held.close()
    after = {path.name for path in store.blobs.iterdir()}
    if spoiled:
        if after != before:
            return f"it deletes although {spoiled} may name anything: {before - after}"
        if result.returncode != 8 or str(spoiled.relative_to(root)) not in result.stderr:
            return f"it does not refuse for {spoiled}: {result.returncode} {result.stderr}"
        return None
    if result.returncode != 0:
        return f"it fails: {result.returncode} {result.stderr}"
    expected = set() if downloading else gone
    if lost := {name for name in before - after if name[7:71] in store.referenced}:
        return f"it deletes what is referenced: {lost}"
    if before - after != expected:
        return f"deleted, and should not be: {before - after - expected}; not deleted: {expected & after}"
    return None


def main():
    program = str(Path(sys.argv[1]) / "src/ollamafs")
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    work = Path(tempfile.mkdtemp())

    def complaint(number):
        root = work / str(number)
        text = one_store(program, root, random.Random(f"{seed}.{number}"), number % 10 == 0)
        shutil.rmtree(root)
        return f"store {number} of seed {seed}: {text}" if text else None

    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            complaints = [text for text in pool.map(complaint, range(count)) if text]
    finally:
        shutil.rmtree(work)
    sys.exit("\n".join(complaints) or print(f"{count} stores"))


main()
