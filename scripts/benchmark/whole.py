"""Files that are written whole or not at all."""

import os


def write_whole(path, text):
    """Under another name until it is all on the disk."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def print_whole(text):
    """To a descriptor of our own: what cannot be written is not tried again when Python ends."""
    with open(1, "w", closefd=False) as output:
        output.write(text)
