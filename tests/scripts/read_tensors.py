"""Reads each model.safetensors below a contents/ and compares its tensors with those of the blobs
beside it, tensors/*.safetensors: read_tensors.py CONTENTS

First by the format's own rules, which are written down here a second time; then by the library, if
it is installed, through mmap, as programs read weights."""
import importlib.util
import json
import mmap
import sys
from pathlib import Path


def tensors_of(path):
    """Name to type, shape and bytes. Checks what readers refuse: gaps, overlaps, a crooked header."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        ranges = sorted(tensor["data_offsets"] for tensor in header.values())
        ends = [0] + [end for _, end in ranges]
        assert [begin for begin, _ in ranges] == ends[:-1], path
        assert 8 + length + ends[-1] == len(data), path
        start = 8 + length
        return {
            name: (tensor["dtype"], tensor["shape"], data[start + begin : start + end])
            for name, tensor in header.items()
            for begin, end in [tensor["data_offsets"]]
        }


def by_library(path):
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name).tobytes() for name in file.keys()}


has_library = importlib.util.find_spec("safetensors") and importlib.util.find_spec("numpy")
files = list(Path(sys.argv[1]).rglob("model.safetensors"))
assert files, "there is no model of tensors"
for file in files:
    whole = tensors_of(file)
    parts = {}
    for part in (file.parent / "tensors").iterdir():
        parts |= tensors_of(part)
    assert whole == parts, f"{file}: other tensors than those of its blobs"
    if has_library:
        assert by_library(file) == {name: data for name, (_, _, data) in whole.items()}, file
    print(f"{file}: {len(whole)} tensors, read by {'the library too' if has_library else 'its format'}")
