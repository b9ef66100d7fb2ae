#!/usr/bin/env python3
"""Pulls a model as Ollama does: pull.py http://HOST:PORT NAMESPACE/MODEL:TAG STORE

The very requests of docs/store-format.md §8, and as strict: a HEAD for the length of each blob, a GET
whose answer must have a Location, and from there ranges, several at a time. What arrived must have the
digest that the manifest names. Then the manifest is written as that of the public registry, so that the
store can be compared with the one that was served.
"""

import concurrent.futures
import hashlib
import json
import os
import sys
import urllib.parse
import urllib.request

LEAST_PART = 100_000_000
MOST_PARTS = 16
ACCEPT = "application/vnd.docker.distribution.manifest.v2+json"


def request(url, method="GET", **headers):
    return urllib.request.urlopen(
        urllib.request.Request(url, method=method, headers=headers), timeout=60)


def fetch_part(url, descriptor, first, end):
    """Writes bytes first to end - 1 to their place."""
    with request(url, Range=f"bytes={first}-{end - 1}") as answer:
        assert answer.status == 206, f"{answer.status} for a range of {url}"
        at = first
        while at < end:
            chunk = answer.read(min(1 << 20, end - at))
            assert chunk, f"{url} ended at {at} instead of {end}"
            os.pwrite(descriptor, chunk, at)
            at += len(chunk)
        assert not answer.read(1), f"{url} is longer than it was asked for"


def location_of(url):
    """Where the blob is; of the answer itself nothing is read."""
    with request(url) as answer:
        location = answer.headers["Location"]
    assert location, f"no Location from {url}"
    return urllib.parse.urljoin(url, location)


def fetch_blob(url, path, size):
    with request(url, "HEAD") as answer:
        total = int(answer.headers["Content-Length"])
    assert total == size, f"{url} has {total} bytes, not {size}"
    part = max(LEAST_PART, total // MOST_PARTS)
    source = location_of(url)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.ftruncate(descriptor, total)
        with concurrent.futures.ThreadPoolExecutor(MOST_PARTS) as parts:
            for done in [parts.submit(fetch_part, source, descriptor, first, min(first + part, total))
                         for first in range(0, total, part)]:
                done.result()
    finally:
        os.close(descriptor)


def hash_of(path):
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return "sha256:" + digest.hexdigest()


def main():
    base, name, store = sys.argv[1:]
    name, tag = name.rsplit(":", 1)
    with request(f"{base}/v2/{name}/manifests/{tag}", Accept=ACCEPT) as answer:
        assert answer.headers["Content-Type"] == ACCEPT, answer.headers["Content-Type"]
        manifest = answer.read()
    content = json.loads(manifest)
    os.makedirs(f"{store}/blobs", exist_ok=True)
    for layer in content["layers"] + [content["config"]]:
        path = f"{store}/blobs/{layer['digest'].replace(':', '-')}"
        fetch_blob(f"{base}/v2/{name}/blobs/{layer['digest']}", path, layer["size"])
        assert hash_of(path) == layer["digest"], f"{path} is {hash_of(path)}"
    folder = f"{store}/manifests/registry.ollama.ai/{name}"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/{tag}", "wb") as file:
        file.write(manifest)


main()
